# micromind_data (OpenCV, libcurl) and micromind_train (libtorch).
