// Lists image files by class folder, in an order that does not depend on the file system.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace micromind {

struct ClassFolders {
  std::vector<std::string> class_names;      ///< names of the sub-folders, sorted by bytes
  std::vector<std::filesystem::path> files;  ///< by class, then by name
  std::vector<int> labels;                   ///< index into class_names, one a file
};

/// Every image (is_image_name()) directly in FOLDER/<class>/. Hidden entries and other files are passed over.
/// Throws Error when there is no class folder or when one holds no image.
ClassFolders scan_class_folders(const std::filesystem::path& folder);

}  // namespace micromind
