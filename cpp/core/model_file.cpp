#include "core/model_file.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/sha256.h"

namespace frames {

namespace {

// The limits of the Python reader (artifact.py): larger entries are no part of a model that this package
// writes.
constexpr std::uint64_t largest_metadata = 4ull << 20;
constexpr std::uint64_t largest_weights = 4ull << 30;
constexpr std::uint64_t largest_test_frame = 256ull << 20;

Metadata read_metadata(Archive& archive) {
  const std::vector<std::uint8_t> text = archive.read_extra("frames.json", largest_metadata);
  return parse_metadata({reinterpret_cast<const char*>(text.data()), text.size()}, archive.name());
}

bool all_finite(const std::vector<double>& values) {
  return std::all_of(values.begin(), values.end(), [](double value) { return std::isfinite(value); });
}

}  // namespace

ModelFile::ModelFile(const std::string& path) : ModelFile(Archive(path)) {}

ModelFile::ModelFile(Archive archive) : archive_(std::move(archive)), metadata_(read_metadata(archive_)) {}

Safetensors ModelFile::weights() {
  std::vector<std::uint8_t> data = archive_.read_extra("weights.safetensors", largest_weights);
  const std::string digest = sha256(data.data(), data.size());
  if (digest != metadata_.weights_sha256) {
    throw Error(path() + ": the weights do not match their checksum (frames.json says " +
                metadata_.weights_sha256.substr(0, 12) + ", the file has " + digest.substr(0, 12) +
                "); the file was altered or damaged: export or copy it again");
  }
  return Safetensors(std::move(data), path() + ": weights.safetensors");
}

TestFrame ModelFile::test_frame() {
  const std::string name = path() + ": test_frame.safetensors";
  const Safetensors tensors(archive_.read_extra("test_frame.safetensors", largest_test_frame), name);
  TestFrame frame;
  for (const std::int64_t z : tensors.integers("atomic_numbers", {-1})) {
    if (z < 1 || z > 118 || metadata_.species_of(static_cast<int>(z)) < 0) {
      throw Error(name + ": atomic number " + std::to_string(z) + " is none of the model's elements (" +
                  metadata_.element_symbols() + "); export the model again");
    }
    frame.atomic_numbers.push_back(static_cast<int>(z));
  }
  const auto atoms = static_cast<std::int64_t>(frame.atomic_numbers.size());
  frame.positions = tensors.doubles("positions", {atoms, 3});
  frame.atom_energies = tensors.doubles("atom_energies", {atoms});
  frame.forces = tensors.doubles("forces", {atoms, 3});
  frame.energy = tensors.doubles("energy", {1})[0];
  const std::vector<double> cell = tensors.doubles("cell", {3, 3}),
                            virial = tensors.doubles("virial", {3, 3});
  const std::vector<std::int64_t> periodic = tensors.integers("pbc", {3});
  std::copy(cell.begin(), cell.end(), frame.cell.begin());
  std::copy(virial.begin(), virial.end(), frame.virial.begin());
  for (std::size_t k = 0; k < 3; ++k) frame.periodic[k] = periodic[k] != 0;
  if (atoms == 0 || !all_finite(frame.positions) || !all_finite(cell) || !all_finite(virial) ||
      !all_finite(frame.forces) || !all_finite(frame.atom_energies) || !std::isfinite(frame.energy)) {
    throw Error(name + ": expected at least one atom and finite numbers; export the model again");
  }
  return frame;
}

}  // namespace frames
