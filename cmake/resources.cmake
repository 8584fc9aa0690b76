# Files that the binary carries (runtime kernels, boards, recipes, page templates) so that it works wherever it is
# copied. A generated table maps "runtime/kernels/conv2d_s8.h" to its bytes.
file(GLOB_RECURSE MICROMIND_RESOURCES CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     ${PROJECT_SOURCE_DIR}/runtime/* ${PROJECT_SOURCE_DIR}/targets/*.toml ${PROJECT_SOURCE_DIR}/recipes/*.toml
     ${PROJECT_SOURCE_DIR}/targets/latency/*.json ${PROJECT_SOURCE_DIR}/micromind/run/page/*
     ${PROJECT_SOURCE_DIR}/bench/*.json)
set(MICROMIND_RESOURCES_CPP ${PROJECT_BINARY_DIR}/generated/resources.cpp)
list(TRANSFORM MICROMIND_RESOURCES PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE MICROMIND_RESOURCE_PATHS)
string(REPLACE ";" "\n" resource_list "${MICROMIND_RESOURCES}")
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/resources.txt CONTENT "${resource_list}\n" @ONLY)
add_custom_command(
  OUTPUT ${MICROMIND_RESOURCES_CPP}
  COMMAND ${CMAKE_COMMAND} -DLIST=${PROJECT_BINARY_DIR}/generated/resources.txt -DROOT=${PROJECT_SOURCE_DIR}
          -DOUT=${MICROMIND_RESOURCES_CPP} -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
  DEPENDS ${MICROMIND_RESOURCE_PATHS} ${PROJECT_BINARY_DIR}/generated/resources.txt ${PROJECT_SOURCE_DIR}/cmake/embed.cmake)
target_sources(micromind PRIVATE ${MICROMIND_RESOURCES_CPP})
