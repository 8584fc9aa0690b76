// Turns libtorch's exceptions into ours: nothing of a third party reaches a caller.
#pragma once

#include <c10/util/Exception.h>

#include <new>
#include <string>

#include "micromind/base/error.h"

namespace micromind {

/// Calls f() and throws Error with `where` in front of libtorch's first line when it fails inside libtorch.
template <class F>
auto guard_torch(std::string_view where, F&& f) {
  try {
    return f();
  } catch (const c10::Error& e) {
    const std::string text = e.what_without_backtrace();
    fail(where, "{}", std::string_view(text).substr(0, text.find('\n')));
  } catch (const std::bad_alloc&) {
    fail_with_hint(where, "a smaller train.batch_size needs less", "not enough memory");
  }
}

}  // namespace micromind
