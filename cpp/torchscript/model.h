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
  /// Inputs of the program on the device: indices [2,E] int64, and vectors [E,3] in the dtype of the model.
  struct Edges {
    torch::Tensor index, vectors;
  };
  template <class T>
  torch::Tensor copied(const T* data, torch::IntArrayRef shape, torch::ScalarType type) const;
  torch::Tensor atomic_numbers(const FramesGraphView& graph);
  Edges edges_of(const FramesGraphView& graph);
  Edges edges_of_list(const FramesGraphView& graph);
  void keep_pairs(const FramesGraphView& graph);

  std::vector<std::int64_t> elements_;  // atomic number of each species
  torch::ScalarType dtype_;
  torch::Device device_;
  std::string device_name_;
  torch::jit::Module module_;

  // Inputs in host memory, reused from call to call.
  std::vector<std::int64_t> numbers_;     // [atoms]
  std::vector<std::int64_t> edge_index_;  // [2, edges]

  // On the device, for as long as they hold.
  torch::Tensor atomic_numbers_;  // [atoms] int64, as in numbers_
  std::int64_t list_ = 0;         // the neighbour list that pairs_ are from
  torch::Tensor pairs_;           // [2, pairs] int32, atoms of the engine
};
