// The one exception type of the library, and how to throw it.
//
//   fail("conv2d", "blocks.3.conv: expected 16 input channels, found {}", n);
//   fail_with_hint("recipe", "did you mean 'epochs'?", "unknown key '{}'", key);
//
// The text reads "[where] what. hint": where it happened, what was expected and found, what to do about it.
// The library never prints and never exits; the command line prints the text and sets the exit status.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>

namespace micromind {

class Error : public std::runtime_error {
 public:
  Error(std::string_view where, std::string_view what, std::string_view hint = {});
  const std::string& where() const { return where_; }
  const std::string& message() const { return message_; }  ///< without the "[where]" prefix
  const std::string& hint() const { return hint_; }        ///< may be empty

 private:
  std::string where_, message_, hint_;
};

/// A user pressed Ctrl-C (or the process was asked to terminate) and work was stopped in an orderly way.
class Interrupted : public Error {
 public:
  using Error::Error;
};

template <class... Args>
[[noreturn]] void fail(std::string_view where, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(where, fmt::format(format, std::forward<Args>(args)...));
}

template <class... Args>
[[noreturn]] void fail_with_hint(std::string_view where, std::string_view hint, fmt::format_string<Args...> format,
                                 Args&&... args) {
  throw Error(where, fmt::format(format, std::forward<Args>(args)...), hint);
}

}  // namespace micromind
