// Where and with how many threads libtorch computes.
#pragma once

#include <string>

namespace micromind {

/// Sets libtorch's and OpenBLAS's threads; 0: one a core. From then on the process keeps freed memory for itself. Returns the number. Throws Error when negative or above eight a core.
int set_compute_threads(int threads);

/// Throws Error unless `device` is "cpu", or "cuda" or "cuda:1" where this libtorch was built with CUDA and finds a GPU.
void check_device(const std::string& device);

}  // namespace micromind
