#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/load.h"

namespace frames {

/// Where a force has its model from: the contents of a model file, which it carries along, or the path of one
/// that must still have the same SHA-256 whenever it is read.
class ModelSource {
 public:
  using Bytes = std::vector<std::uint8_t>;

  /// Reads the file. Throws Error if it cannot be read.
  /// @param embed whether to keep the contents
  static ModelSource from_file(const std::string& path, bool embed);

  /// @param contents null for a file that is read when it is needed
  /// Throws Error if the contents do not have the SHA-256.
  ModelSource(std::string path, std::string sha256, std::shared_ptr<const Bytes> contents);

  const std::string& path() const { return path_; }
  const std::string& sha256() const { return sha256_; }
  const std::shared_ptr<const Bytes>& contents() const { return contents_; }

  /// For messages.
  std::string name() const { return contents_ ? path_ + " (embedded)" : path_; }

  /// Throws Error if no backend can evaluate the model with these options; loads nothing.
  void check(const LoadOptions& options) const;

  /// Loads the model and replays its test frame. Throws Error, also if the file is missing or was changed.
  std::unique_ptr<Backend> open(const LoadOptions& options) const;

  /// A message of the backend, with the name of the model for the path that the backend knows it by.
  std::string renamed(const std::string& message, const Backend& backend) const;

 private:
  std::shared_ptr<const Bytes> read() const;

  std::string path_;
  std::string sha256_;
  std::shared_ptr<const Bytes> contents_;
};

}  // namespace frames
