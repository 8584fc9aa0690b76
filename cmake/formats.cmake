# .onnx through Debian's libonnx, .tflite through FlatBuffers.
find_program(FLATC flatc REQUIRED)
set(TFLITE_SCHEMA ${PROJECT_SOURCE_DIR}/micromind/formats/tflite.fbs)
set(TFLITE_GENERATED ${PROJECT_BINARY_DIR}/generated/tflite_generated.h)
add_custom_command(
  OUTPUT ${TFLITE_GENERATED}
  COMMAND ${FLATC} --cpp -o ${PROJECT_BINARY_DIR}/generated ${TFLITE_SCHEMA}
  DEPENDS ${TFLITE_SCHEMA})
target_sources(micromind PRIVATE ${TFLITE_GENERATED})
target_include_directories(micromind SYSTEM PUBLIC $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/generated>)

set_source_files_properties(${PROJECT_SOURCE_DIR}/micromind/formats/onnx_builder.cpp ${PROJECT_SOURCE_DIR}/micromind/formats/onnx_file.cpp
                            PROPERTIES COMPILE_DEFINITIONS "ONNX_ML=1;ONNX_NAMESPACE=onnx")
find_package(MicromindONNX REQUIRED)
target_link_libraries(micromind PRIVATE micromind::onnx)
