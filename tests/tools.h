// What tests of the emulated chip need beyond the build: they skip with a message where it is absent.
#pragma once

#include <gtest/gtest.h>

#include "micromind/base/process.h"

#define SKIP_WITHOUT_TOOLS()                                                                    \
  if (!find_program("arm-none-eabi-gcc")) GTEST_SKIP() << "arm-none-eabi-gcc is not installed"; \
  if (!find_program("qemu-system-arm")) GTEST_SKIP() << "qemu-system-arm is not installed"
