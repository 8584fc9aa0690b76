# Installs the build, moves what was installed (nothing may remember where it was), and builds and runs the project in
# consumer/ against it.
#   cmake -DBUILD=… -DSOURCE=… -DTRAIN=… -DVERSION=… -DCOMPILER=… -DFLAGS=… -DBUILD_TYPE=… -P install_test.cmake
cmake_minimum_required(VERSION 3.22)
set(tmp $ENV{TMPDIR})
if(NOT tmp)
  set(tmp /tmp)
endif()
string(RANDOM LENGTH 8 random)
set(work ${tmp}/micromind-install-${random})
set(prefix ${work}/moved)

macro(give_up text)
  file(REMOVE_RECURSE ${work})
  message(FATAL_ERROR "${text}")
endmacro()

# run(name command…): its output; any status but 0 ends the test.
macro(run name)
  execute_process(COMMAND ${ARGN} OUTPUT_VARIABLE ${name} ERROR_VARIABLE errors RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    give_up("${ARGN}: ${status}\n${${name}}\n${errors}")
  endif()
endmacro()
macro(expect text part)
  string(FIND "${text}" "${part}" found)
  if(found EQUAL -1)
    give_up("expected '${part}' in:\n${text}")
  endif()
endmacro()

run(installed ${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/installed)
file(RENAME ${work}/installed ${prefix})

# The binary carries its files with it.
run(version ${prefix}/bin/micromind --version)
expect("${version}" "${VERSION}")
run(targets ${prefix}/bin/micromind targets)
expect("${targets}" stm32h743)

# It finds the plugin that counts instructions beside it.
find_program(qemu qemu-system-arm)
find_program(cross arm-none-eabi-gcc)
if(qemu AND cross)
  run(efficiency ${prefix}/bin/micromind bench operators --target mps2-an386 --sizes 4x4x4)
  expect("${efficiency}" "Cortex-M4 (model)")
endif()

# The package names neither our folders nor the prefix; headers of the command line stay at home.
file(GLOB_RECURSE package ${prefix}/*.cmake)
foreach(file IN LISTS package)
  file(READ ${file} text)
  foreach(place ${SOURCE} ${BUILD} ${work})
    string(FIND "${text}" "${place}" found)
    if(NOT found EQUAL -1)
      give_up("${file} names ${place}")
    endif()
  endforeach()
endforeach()
foreach(private cli targets/toml_reader.h)
  if(EXISTS ${prefix}/include/micromind/${private})
    give_up("${private} was installed")
  endif()
endforeach()

# configure(folder components): sets status, out and errors.
file(COPY ${SOURCE}/tests/install/consumer DESTINATION ${work})
macro(configure folder)
  set(components ${ARGN})
  string(REPLACE ";" "\\;" components "${components}")
  execute_process(
    COMMAND ${CMAKE_COMMAND} -S ${work}/consumer -B ${work}/${folder} -DCMAKE_PREFIX_PATH=${prefix} -DINSTALLED_AT=${prefix}
            -DCOMPONENTS=${components} -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_CXX_FLAGS=${FLAGS}
            -DCMAKE_BUILD_TYPE=${BUILD_TYPE} -DCMAKE_FIND_USE_PACKAGE_REGISTRY=OFF
    OUTPUT_VARIABLE out ERROR_VARIABLE errors RESULT_VARIABLE status)
endmacro()
macro(consume folder)
  configure(${folder} ${ARGN})
  if(NOT status EQUAL 0)
    give_up("the consumer (${ARGN}) does not configure:\n${out}${errors}")
  endif()
  run(built ${CMAKE_COMMAND} --build ${work}/${folder})
endmacro()

consume(core core)
run(output ${work}/core/core)
expect("${output}" "parameters 30917\nmult-adds 9817670\n")
expect("${output}" "onnx 1")
message(STATUS "core: ${output}")

if(TRAIN)
  consume(train core train)
  run(output ${work}/train/train)
  expect("${output}" "scores 10")
  message(STATUS "train: ${output}")
  set(absent nonsense)
else()
  set(absent train)
endif()
configure(absent core ${absent})
if(status EQUAL 0)
  give_up("the component '${absent}' was found")
endif()
string(REGEX REPLACE "[ \n]+" " " errors "${errors}")
expect("${errors}" "no component '${absent}'")
file(REMOVE_RECURSE ${work})
