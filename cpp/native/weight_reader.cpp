#include "native/weight_reader.h"

#include <cmath>

#include "core/error.h"
#include "native/layout.h"

namespace frames::native {

namespace {
constexpr int largest_size = 1024;
}

WeightReader::WeightReader(const Metadata& metadata, const Safetensors& weights)
    : weights_(weights), file_(metadata.file) {
  sizes_.species = static_cast<int>(metadata.elements.size());
  const auto size = [&](const std::string& name, std::size_t rank, std::size_t index) {
    const std::int64_t n = dimension(name, rank, index);
    if (n < 1 || n > largest_size) fail(name + ": dimension of " + std::to_string(n));
    return static_cast<int>(n);
  };
  sizes_.channels = size("embedding.mix", 3, 2);
  if (sizes_.channels % block != 0) {
    fail(std::to_string(sizes_.channels) + " channels, expected a multiple of " + std::to_string(block));
  }
  const std::int64_t sums = dimension("embedding.mix", 3, 1);
  if (sums % sizes_.species != 0 || sums / sizes_.species < 1 || sums / sizes_.species > largest_size) {
    fail("embedding.mix has " + std::to_string(sums) + " inputs, expected a multiple of the " +
         std::to_string(sizes_.species) + " elements");
  }
  sizes_.radial_functions = static_cast<int>(sums / sizes_.species);
  while (sizes_.layers <= largest_size &&
         weights_.contains("backbone.interactions." + std::to_string(sizes_.layers) + ".before")) {
    ++sizes_.layers;
  }
  if (sizes_.layers < 1 || sizes_.layers > largest_size || sizes_.layers + 1 != metadata.receptive_layers) {
    fail(std::to_string(sizes_.layers) + " interactions, but receptive_layers is " +
         std::to_string(metadata.receptive_layers));
  }
  sizes_.radial_hidden = size("interactions.0.radial.hidden", 2, 1);
}

std::vector<double> WeightReader::operator()(const std::string& name,
                                             const std::vector<std::int64_t>& shape) const {
  std::vector<double> values = weights_.doubles("backbone." + name, shape);
  for (const double value : values) {
    if (!std::isfinite(value)) fail(name + " holds a number that is not finite");
  }
  return values;
}

std::int64_t WeightReader::dimension(const std::string& name, std::size_t rank, std::size_t index) const {
  const auto& shape = weights_.at("backbone." + name).shape;
  if (shape.size() != rank) fail(name + " has " + std::to_string(shape.size()) + " dimensions");
  return shape[index];
}

void WeightReader::fail(const std::string& what) const {
  throw Error(file_ + ": the weights do not fit a model of backbone cartesian (" + what +
              "); the file was damaged or written by another version of frames-md: export the model again");
}

}  // namespace frames::native
