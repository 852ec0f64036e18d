"""Image–text models: open_clip behind one small face, micro architectures, model folders."""
