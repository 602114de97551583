#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"
#include "core/model_file.h"

namespace frames {

/// What the user asked for. An engine's adaptor fills this from its own syntax.
struct LoadOptions {
  std::string backend = "auto";  ///< "auto" or the name of a factory
  std::string device = "cpu";    ///< "cpu" or "cuda"
  std::string precision;         ///< "single", "double", or "" for that of the model file
  int threads = 1;               ///< threads that this process may use
  int local_rank = 0;            ///< number of this process among those on its machine; picks the GPU
};

/// One way to evaluate models. Each backend library has a function that returns its factory, and an adaptor
/// passes those that it was built with to `load_model`, the preferred one first; nothing is registered
/// globally.
struct BackendFactory {
  /// "native" or "torchscript".
  std::string name;
  /// Why this backend cannot evaluate such a model with these options, in a few words, or "" if it can.
  /// Cheap.
  std::string (*refusal)(const Metadata& metadata, const LoadOptions& options);
  /// Throws Error.
  std::unique_ptr<Backend> (*create)(ModelFile& file, const LoadOptions& options);
};

/// The first backend that can evaluate such a model. Throws Error that says why not if there is none, or if
/// an option is unknown.
BackendFactory choose_backend(const Metadata& metadata, const LoadOptions& options,
                              const std::vector<BackendFactory>& factories);

/// Opens a model file, picks the first backend that can evaluate it, and replays the stored test frame.
/// Throws Error if the file is unreadable, no backend fits, or the test frame is not reproduced.
std::unique_ptr<Backend> load_model(const std::string& path, const LoadOptions& options,
                                    const std::vector<BackendFactory>& factories);

}  // namespace frames
