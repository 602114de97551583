#pragma once

#include <string>
#include <vector>

#include "core/metadata.h"
#include "core/safetensors.h"

namespace frames::native {

/// Sizes of a model of backbone `cartesian` as the shapes of its weights tell them.
struct Sizes {
  int species = 0;
  int channels = 0;
  int layers = 0;
  int radial_functions = 0;
  int radial_hidden = 0;
};

/// Weights of a model file by their names in the PyTorch module, in float64, each checked for shape and
/// finiteness.
class WeightReader {
 public:
  /// Throws Error that names the file.
  WeightReader(const Metadata& metadata, const Safetensors& weights);

  const Sizes& sizes() const { return sizes_; }

  /// Weights of `backbone.<name>`.
  std::vector<double> operator()(const std::string& name, const std::vector<std::int64_t>& shape) const;

 private:
  std::int64_t dimension(const std::string& name, std::size_t rank, std::size_t index) const;
  [[noreturn]] void fail(const std::string& what) const;

  const Safetensors& weights_;
  std::string file_;
  Sizes sizes_;
};

}  // namespace frames::native
