# The target micromind::torch: libtorch, with an OpenBLAS where there is one. Used by the build and by the installed package.
find_package(Torch QUIET)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MicromindTorch REQUIRED_VARS TORCH_LIBRARIES
                                  REASON_FAILURE_MESSAGE "install libtorch-dev, or build with -DMICROMIND_TRAIN=OFF")
if(MicromindTorch_FOUND AND NOT TARGET micromind::torch)
  foreach(target torch torch_library torch_cpu torch_cuda c10 c10_cuda caffe2::mkl caffe2::mkldnn)  # all folders link them
    if(TARGET ${target})
      set_target_properties(${target} PROPERTIES IMPORTED_GLOBAL TRUE)
    endif()
  endforeach()
  set(_micromind_torch_libraries ${TORCH_LIBRARIES})
  # Debian's libtorch asks for the generic libblas.so.3, which may be the reference one: an OpenBLAS that is linked
  # first answers its calls, many times faster.
  find_library(OPENBLAS_LIBRARY NAMES openblas PATH_SUFFIXES openblas-pthread)
  if(OPENBLAS_LIBRARY)
    list(APPEND _micromind_torch_libraries "-Wl,--push-state,--no-as-needed" ${OPENBLAS_LIBRARY} "-Wl,--pop-state")
  else()
    message(WARNING "OpenBLAS was not found: matrix products in training may be many times slower")
  endif()
  add_library(micromind::torch INTERFACE IMPORTED GLOBAL)
  set_target_properties(
    micromind::torch PROPERTIES
    INTERFACE_LINK_LIBRARIES "${_micromind_torch_libraries}"
    INTERFACE_INCLUDE_DIRECTORIES "${TORCH_INCLUDE_DIRS}"           # imported: its headers are not ours to warn about
    INTERFACE_COMPILE_DEFINITIONS AT_PER_OPERATOR_HEADERS)          # a file compiles in 3 s instead of 15
endif()
