// The text of the Error that an action throws, or "no error".
#pragma once

#include <concepts>
#include <string>

#include "micromind/base/error.h"

namespace micromind {

template <std::invocable Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace micromind
