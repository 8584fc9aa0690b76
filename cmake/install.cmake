# What `cmake --install` lays down: the binary, the libraries with their headers, and a CMake package.
#
#   find_package(micromind REQUIRED COMPONENTS core train)      # core, data, train; core alone when none is named
#   target_link_libraries(mine PRIVATE micromind::train)        # micromind::micromind, micromind::data, micromind::train
#
# Each library is an export set of its own, so that a user of the core needs neither OpenCV nor libtorch.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/micromind)

install(TARGETS micromind_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

# micromind_install_library(target component): as micromind::<component>, the core as micromind::micromind.
function(micromind_install_library target component)
  if(component STREQUAL core)
    set_target_properties(${target} PROPERTIES EXPORT_NAME micromind)
  else()
    set_target_properties(${target} PROPERTIES EXPORT_NAME ${component})
  endif()
  install(TARGETS ${target} EXPORT micromind_${component} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT micromind_${component} NAMESPACE micromind:: FILE micromind-${component}.cmake DESTINATION ${package_dir})
endfunction()

micromind_install_library(micromind core)
set(no_headers PATTERN cli EXCLUDE)
set(MICROMIND_COMPONENTS core)
if(MICROMIND_TRAIN)
  micromind_install_library(micromind_data data)
  micromind_install_library(micromind_train train)
  list(APPEND MICROMIND_COMPONENTS data train)
else()
  list(APPEND no_headers PATTERN data EXCLUDE PATTERN train EXCLUDE PATTERN tasks EXCLUDE)
endif()

# Headers keep their paths. Those that show the libraries we parse with (toml++, FlatBuffers) are for our sources alone.
install(DIRECTORY ${PROJECT_SOURCE_DIR}/micromind DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.h" ${no_headers} PATTERN page EXCLUDE
        PATTERN toml_reader.h EXCLUDE PATTERN tflite_file.h EXCLUDE PATTERN tflite_reader.h EXCLUDE
        PATTERN tflite_writer.h EXCLUDE PATTERN tflite_layout.h EXCLUDE PATTERN onnx_builder.h EXCLUDE
        PATTERN onnx_writer.h EXCLUDE PATTERN onnx_file.h EXCLUDE PATTERN onnx_fold.h EXCLUDE
        PATTERN onnx_reader.h EXCLUDE)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/runtime/kernels DESTINATION ${CMAKE_INSTALL_DATADIR}/micromind/runtime
        FILES_MATCHING PATTERN "*.h")

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/micromindConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/package/micromindConfig.cmake INSTALL_DESTINATION ${package_dir}
                              NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/micromindConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/package/micromindConfig.cmake ${PROJECT_BINARY_DIR}/package/micromindConfigVersion.cmake
        DESTINATION ${package_dir})
install(DIRECTORY ${PROJECT_SOURCE_DIR}/cmake/modules DESTINATION ${package_dir})
