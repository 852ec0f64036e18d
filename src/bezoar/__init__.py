"""Bezoar: attack, pre-train, clean and measure CLIP-style image–text models under data poisoning and backdoors."""

__version__ = "0.1.0"
