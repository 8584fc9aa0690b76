# The plugin that counts instructions by class inside QEMU (micromind/plugin): a shared library beside the binary, found
# from there; installed to lib/micromind. It runs in QEMU's process, so no sanitizer may be in it.
add_library(micromind_instructions MODULE ${PROJECT_SOURCE_DIR}/micromind/plugin/instructions.cpp
                                          ${PROJECT_SOURCE_DIR}/micromind/deploy/instruction_classes.cpp)
target_include_directories(micromind_instructions PRIVATE ${PROJECT_SOURCE_DIR})
set_target_properties(micromind_instructions PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}
                                                        CXX_VISIBILITY_PRESET hidden)
target_compile_options(micromind_instructions PRIVATE -fno-sanitize=all)
target_link_options(micromind_instructions PRIVATE -fno-sanitize=all)
micromind_warnings(micromind_instructions)
add_dependencies(micromind micromind_instructions)
install(TARGETS micromind_instructions LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/micromind)
file(RELATIVE_PATH plugin_from_binary /x/${CMAKE_INSTALL_BINDIR} /x/${CMAKE_INSTALL_LIBDIR}/micromind)
set_source_files_properties(${PROJECT_SOURCE_DIR}/micromind/deploy/profile.cpp PROPERTIES
                            COMPILE_DEFINITIONS MICROMIND_PLUGIN_FOLDER="${plugin_from_binary}")
