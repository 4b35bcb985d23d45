"""What is trained on top of a pre-trained image encoder."""
