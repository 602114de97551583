#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/archive.h"
#include "core/metadata.h"
#include "core/safetensors.h"

namespace frames {

/// One structure with the answer that the exported model gave for it.
struct TestFrame {
  std::vector<int> atomic_numbers;  ///< [atoms]
  std::vector<double> positions;    ///< [3 atoms] Å
  std::array<double, 9> cell{};     ///< Å, rows are the lattice vectors, zero where open
  std::array<bool, 3> periodic{};
  double energy = 0.0;                ///< eV
  std::vector<double> atom_energies;  ///< [atoms] eV
  std::vector<double> forces;         ///< [3 atoms] eV/Å
  std::array<double, 9> virial{};     ///< eV, sum of r ⊗ F
};

/// Everything in a model file but the TorchScript program itself. No code of the file is executed.
class ModelFile {
 public:
  /// Reads the metadata. Throws Error that names the file, what was expected and what to do.
  explicit ModelFile(const std::string& path);
  explicit ModelFile(Archive archive);

  const std::string& path() const { return archive_.name(); }
  const Metadata& metadata() const { return metadata_; }

  /// Parameters by their names in the state dict of the PyTorch module, checked against their SHA-256.
  Safetensors weights();
  TestFrame test_frame();

 private:
  Archive archive_;
  Metadata metadata_;
};

}  // namespace frames
