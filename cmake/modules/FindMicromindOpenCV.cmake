# The target micromind::opencv: OpenCV's core, imgproc and imgcodecs, from OpenCV's own configuration where it is installed
# (Debian: libopencv-dev, which brings every module), else from the headers and libraries alone (libopencv-core-dev,
# libopencv-imgproc-dev, libopencv-imgcodecs-dev). Used by the build and by the installed package.
set(_micromind_opencv_libraries)
find_package(OpenCV QUIET COMPONENTS core imgproc imgcodecs)
if(OpenCV_FOUND)
  set(_micromind_opencv_libraries opencv_core opencv_imgproc opencv_imgcodecs)
  set(_micromind_opencv_include ${OpenCV_INCLUDE_DIRS})
else()
  find_path(OPENCV_INCLUDE opencv2/core.hpp PATH_SUFFIXES opencv4)
  set(_micromind_opencv_include ${OPENCV_INCLUDE})
  foreach(module core imgproc imgcodecs)
    find_library(OPENCV_${module} opencv_${module})
    if(OPENCV_INCLUDE AND OPENCV_${module})
      list(APPEND _micromind_opencv_libraries ${OPENCV_${module}})
    else()
      set(_micromind_opencv_libraries)
      break()
    endif()
  endforeach()
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MicromindOpenCV REQUIRED_VARS _micromind_opencv_libraries
  REASON_FAILURE_MESSAGE "install libopencv-core-dev, libopencv-imgproc-dev and libopencv-imgcodecs-dev, or build with -DMICROMIND_TRAIN=OFF")
if(MicromindOpenCV_FOUND AND NOT TARGET micromind::opencv)
  add_library(micromind::opencv INTERFACE IMPORTED GLOBAL)
  set_target_properties(micromind::opencv PROPERTIES INTERFACE_LINK_LIBRARIES "${_micromind_opencv_libraries}"
                                                     INTERFACE_INCLUDE_DIRECTORIES "${_micromind_opencv_include}")
endif()
