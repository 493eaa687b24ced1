"""Files and libav: films and pictures in and out."""
