# The command line: one file a verb in micromind/cli. What needs data sets or training is in cli/training; without it
# stand-ins say so.
include(${PROJECT_SOURCE_DIR}/cmake/rooms.cmake)
find_package(CLI11 REQUIRED)
file(GLOB CLI_SOURCES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/micromind/cli/*.cpp)
if(MICROMIND_TRAIN)
  file(GLOB CLI_MORE CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/micromind/cli/training/*.cpp)
else()
  file(GLOB CLI_MORE CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/micromind/cli/no_training/*.cpp)
  list(REMOVE_ITEM CLI_SOURCES ${PROJECT_SOURCE_DIR}/micromind/cli/progress.cpp)  # shows training
endif()
# The library has the name of the program, so the target cannot.
add_executable(micromind_cli ${CLI_SOURCES} ${CLI_MORE})
set_target_properties(micromind_cli PROPERTIES OUTPUT_NAME micromind)
target_compile_definitions(micromind_cli PRIVATE MICROMIND_VERSION="${PROJECT_VERSION}")
target_link_libraries(micromind_cli PRIVATE micromind CLI11::CLI11)
if(MICROMIND_TRAIN)
  target_link_libraries(micromind_cli PRIVATE micromind_train)
endif()
micromind_warnings(micromind_cli)
