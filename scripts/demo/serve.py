"""The demo page: make pairs, look where a sentence points, score a radiograph, compare generators.

    synvlp demo                                          # with the encoder that is shipped
    synvlp demo --encoder=runs/fit/checkpoints/best.ckpt --generator=runs/vae/export

It is served to this computer alone, without telemetry, and stores nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from scripts.command_line.errors import exit_code
from scripts.command_line.numbers import whole
from scripts.demo.encoder import Encoder
from scripts.demo.markup import STYLE
from scripts.demo.page import build_page
from scripts.demo.patients import Patients
from synthesis.configuration import located
from synthesis.images.image_maker import ImageMaker
from synthesis.images.model_directory import SETTINGS, ModelDirectory

if TYPE_CHECKING:
    import gradio as gr

SHIPPED = "results/encoders/short"
LARGEST = "64mb"
# What a browser may do for this page: ask this server, and nothing else.
POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
    "font-src 'self' data:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; worker-src 'self' blob:; "
    "frame-ancestors 'none'"
)


def main(args: Sequence[str] | None = None) -> int:
    """Serve the page until it is interrupted.

    Args:
        args: Arguments as on the command line; the process's own by default.
    """
    options = _parser().parse_args(args)
    if find_spec("gradio") is None:
        raise SystemExit("synvlp demo needs gradio: pip install 'synvlp[demo]' (in a checkout: make install)")
    patients = Patients(options.image_size)
    try:
        encoder = (
            shipped_encoder(patients)
            if options.encoder is None
            else Encoder(Path(options.encoder), patients.catalog)
        )
        generators = dict(generator(words) for words in options.generator)
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f"synvlp demo: {error}") from error
    with served(patients, encoder, generators, options.port) as (page, url):
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that uploads are deleted then too
        print(f"open {url} (only this computer can; stop with Ctrl+C)", flush=True)
        page.block_thread()
    return 0


@contextmanager
def served(
    patients: Patients,
    encoder: Encoder | None,
    generators: Mapping[str, ImageMaker],
    port: int | None = None,
) -> Iterator[tuple[gr.Blocks, str]]:
    """Serve the page to this computer; afterwards nothing of it is left.

    Args:
        patients: See `build_page`.
        encoder: See `build_page`.
        generators: See `build_page`.
        port: Where; None takes the first free one from 7860.

    Yields:
        The page and its address.
    """
    with TemporaryDirectory(prefix="synvlp-demo-") as uploads:
        # Read by gradio when it is imported and when the page is built. Uploads lie there until read.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": uploads}
        import gradio as gr
        from starlette.middleware import Middleware

        page = build_page(patients, encoder, generators)
        _, url, _ = page.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=False,
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            max_file_size=LARGEST,
            footer_links=[],
            theme=_theme(gr),
            css_paths=[STYLE],
            quiet=True,
            prevent_thread_lock=True,
            app_kwargs={"middleware": [Middleware(Policy)]},
        )
        try:
            yield page, url
        finally:
            page.close(verbose=False)


class Policy:
    """Sends `POLICY` with every answer, so that no browser asks another server for this page.

    Args:
        app: The application that answers.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = {
                    b"content-security-policy": POLICY,
                    b"referrer-policy": "no-referrer",
                    b"cache-control": "no-store",
                }
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in headers]
                message = message | {"headers": [*kept, *((n, v.encode()) for n, v in headers.items())]}
            await send(message)

        await self.app(scope, receive, with_policy)


def _theme(gr: Any) -> Any:
    """Return a theme of the reader's own fonts: gradio's would be fetched."""
    fonts = ["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
    theme = gr.themes.Base(
        primary_hue="teal", neutral_hue="slate", font=fonts, font_mono=["ui-monospace", "Menlo", "monospace"]
    )
    # gradio's own greys and greens are too faint to read on white.
    return theme.set(
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*neutral_600",
        block_info_text_color="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        color_accent="*primary_700",
    )


def shipped_encoder(patients: Patients) -> Encoder | None:
    """Return the encoder that is shipped; None where none is."""
    try:
        return Encoder(located(SHIPPED), patients.catalog)
    except FileNotFoundError:
        return None


def generator(words: str) -> tuple[str, ImageMaker]:
    """Return the name and the image maker of ``NAME=DIRECTORY`` or ``DIRECTORY``.

    Raises:
        FileNotFoundError: If the directory holds no generator.
    """
    from synthesis.images.adversarial import AdversarialImageMaker
    from synthesis.images.diffusion import DiffusionImageMaker
    from synthesis.images.variational import VariationalImageMaker

    name, _, directory = words.rpartition("=")
    path = Path(directory)
    kinds = {kind.kind: kind for kind in (AdversarialImageMaker, VariationalImageMaker)}
    kind = ModelDirectory(path).settings.get("kind") if (path / SETTINGS).is_file() else None
    maker: ImageMaker = kinds[kind](directory=path) if kind in kinds else DiffusionImageMaker(directory=path)
    return name or str(path), maker


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="synvlp demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--encoder", help="checkpoint or exported directory; by default the one that is shipped"
    )
    parser.add_argument(
        "--generator",
        action="append",
        default=[],
        metavar="[NAME=]DIRECTORY",
        help="a trained generator to compare; can be repeated",
    )
    parser.add_argument(
        "--image-size", type=whole(64, 2048), default=256, help="pixels of simulated radiographs"
    )
    parser.add_argument("--port", type=whole(1, 65535), help="by default the first free one from 7860")
    return parser


if __name__ == "__main__":
    sys.exit(exit_code(main))
