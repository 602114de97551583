#pragma once

#include <torch/script.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/torchscript_abi.h"

/// A TorchScript model on one device. Inputs and their conventions are in ARCHITECTURE.md: the program is
/// called as `forward(atomic_numbers [N] int64, edge_index [2,E] int64, edge_vectors [E,3]) -> energies [N]
/// float64`.
struct FramesTorchModel {
 public:
  /// Throws std::exception with a message for the user.
  FramesTorchModel(const FramesModelView& model, const std::string& device, std::int32_t device_index,
                   std::int32_t threads);

  /// Energies of local atoms [locals] in eV and dE/d(edge vector) [3 edges] in eV/Å.
  void evaluate(const FramesGraphView& graph, double* atom_energies, double* edge_gradients);

  const std::string& device_name() const { return device_name_; }

 private:
  void fill_inputs(const FramesGraphView& graph);

  std::vector<std::int64_t> elements_;  // atomic number of each species
  torch::ScalarType dtype_;
  torch::Device device_;
  std::string device_name_;
  torch::jit::Module module_;

  // Inputs in host memory, reused from call to call.
  std::vector<std::int64_t> atomic_numbers_;  // [atoms]
  std::vector<std::int64_t> edge_index_;      // [2, edges]
};
