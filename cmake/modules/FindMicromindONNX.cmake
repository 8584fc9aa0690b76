# The target micromind::onnx: libonnx, libonnx_proto and protobuf. One copy of ONNX's generated classes in a process:
# libonnx_proto's, which libtorch loads too. Used by the build and by the installed package.
find_package(Protobuf QUIET)
find_library(ONNX_LIBRARY onnx)
find_library(ONNX_PROTO_LIBRARY onnx_proto)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MicromindONNX REQUIRED_VARS ONNX_LIBRARY ONNX_PROTO_LIBRARY Protobuf_FOUND
                                  REASON_FAILURE_MESSAGE "install libonnx-dev and libprotobuf-dev")
if(MicromindONNX_FOUND AND NOT TARGET micromind::onnx)
  add_library(micromind::onnx INTERFACE IMPORTED GLOBAL)
  set_target_properties(micromind::onnx PROPERTIES INTERFACE_LINK_LIBRARIES
                                                   "${ONNX_LIBRARY};${ONNX_PROTO_LIBRARY};protobuf::libprotobuf")
endif()
