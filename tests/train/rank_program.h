// What the tests' program does when MICROMIND_TEST_RANK gives it the part of a rank (distributed_test.cpp).
#pragma once

#include <string>

namespace micromind::testing {

int run_rank(const std::string& part);

}  // namespace micromind::testing
