// Names of other people's files as names of ours: letters, digits, '_', '-' and '.', each used once.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace micromind {

class NodeNames {
 public:
  /// "model/conv2d/Relu" → "model.conv2d.Relu"; a name of ours stays as it is; a used one gets a number behind it.
  std::string fresh(std::string_view file_name);

 private:
  std::map<std::string, int, std::less<>> used_;
};

}  // namespace micromind
