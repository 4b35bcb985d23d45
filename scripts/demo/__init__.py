"""The demo page: `synvlp demo`. One file a tab."""
