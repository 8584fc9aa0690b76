# micromind_room_sources(VAR room…): every source below the named rooms.
function(micromind_room_sources var)
  set(sources)
  foreach(room ${ARGN})
    file(GLOB_RECURSE found CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/micromind/${room}/*.cpp
         ${PROJECT_SOURCE_DIR}/micromind/${room}/*.c)
    list(APPEND sources ${found})
  endforeach()
  set(${var} ${sources} PARENT_SCOPE)
endfunction()

# One set of warnings for all of our own targets.
function(micromind_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow -Wno-missing-field-initializers
                         $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>)  # GCC 12 false alarms
endfunction()
