#include "core/load.h"

#include <algorithm>

#include "core/error.h"
#include "core/replay.h"

namespace frames {

namespace {

void check_options(const LoadOptions& options, const std::vector<BackendFactory>& factories) {
  std::string names = "auto";
  for (const BackendFactory& factory : factories) names += ", " + factory.name;
  const bool known = std::any_of(factories.begin(), factories.end(), [&](const BackendFactory& factory) {
    return factory.name == options.backend;
  });
  if (!known && options.backend != "auto") {
    throw Error("backend " + options.backend + ": this build has " + names);
  }
  if (options.device != "cpu" && options.device != "cuda") {
    throw Error("device " + options.device + ": expected cpu or cuda");
  }
  if (!options.precision.empty() && options.precision != "single" && options.precision != "double") {
    throw Error("precision " + options.precision + ": expected single or double");
  }
}

}  // namespace

BackendFactory choose_backend(const Metadata& metadata, const LoadOptions& options,
                              const std::vector<BackendFactory>& factories) {
  check_options(options, factories);
  std::string refusals;
  for (const BackendFactory& factory : factories) {
    if (options.backend != "auto" && options.backend != factory.name) continue;
    const std::string refusal = factory.refusal(metadata, options);
    if (refusal.empty()) return factory;
    refusals += (refusals.empty() ? "" : "; ") + factory.name + ": " + refusal;
  }
  throw Error(metadata.file + ": no backend can evaluate this model (" + refusals + ")");
}

std::unique_ptr<Backend> load_model(const std::string& path, const LoadOptions& options,
                                    const std::vector<BackendFactory>& factories) {
  check_options(options, factories);
  ModelFile file(path);
  const TestFrame frame = file.test_frame();
  std::unique_ptr<Backend> backend =
      choose_backend(file.metadata(), options, factories).create(file, options);
  replay_test_frame(*backend, frame);
  return backend;
}

}  // namespace frames
