#include "torchscript/model.h"

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/cuda.h>

#include <algorithm>
#include <stdexcept>

namespace {

/// Opens the part of PyTorch that knows GPUs, which lies beside the part that is open already.
void open_torch_cuda() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&at::get_num_threads), &info) == 0 || !info.dli_fname) return;
  const std::string cpu = info.dli_fname;
  const std::string cuda = cpu.substr(0, cpu.rfind('/') + 1) + "libtorch_cuda.so";
  if (!dlopen(cuda.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    throw std::runtime_error("device cuda: this PyTorch has no CUDA support (" + std::string(dlerror()) +
                             "); use device cpu or install a CUDA build of PyTorch " FRAMES_TORCH_VERSION);
  }
}

torch::Device choose_device(const std::string& device, std::int32_t index) {
  if (device == "cpu") return torch::kCPU;
  open_torch_cuda();
  const auto count = static_cast<std::int32_t>(torch::cuda::device_count());
  if (count == 0)
    throw std::runtime_error("device cuda: PyTorch finds no usable GPU on this machine; use device cpu");
  return {torch::kCUDA, static_cast<torch::DeviceIndex>(index % count)};
}

}  // namespace

FramesTorchModel::FramesTorchModel(const FramesModelView& model, const std::string& device,
                                   std::int32_t device_index, std::int32_t threads)
    : elements_(model.elements, model.elements + model.element_count),
      dtype_(model.double_precision ? torch::kFloat64 : torch::kFloat32),
      device_(choose_device(device, device_index)),
      device_name_(device_.str()) {
  at::set_num_threads(std::max(1, threads));
  // The number of edges changes from step to step: kernels for one size would be compiled again and again.
  torch::jit::FusionStrategy any_size = {{torch::jit::FusionBehavior::DYNAMIC, 3}};
  torch::jit::setFusionStrategy(any_size);
  module_ = torch::jit::load(model.path, device_);
  module_.eval();
  for (torch::Tensor parameter : module_.parameters()) parameter.requires_grad_(false);
}

/// An array of the caller as a tensor on the device, which may hold it after the call.
template <class T>
torch::Tensor FramesTorchModel::copied(const T* data, torch::IntArrayRef shape,
                                       torch::ScalarType type) const {
  // from_blob takes a mutable pointer, but nothing writes to it.
  return torch::from_blob(const_cast<T*>(data), shape, type)
      .to(torch::TensorOptions(device_).dtype(type), /*non_blocking=*/false, /*copy=*/true);
}

torch::Tensor FramesTorchModel::atomic_numbers(const FramesGraphView& graph) {
  const auto atoms = static_cast<std::size_t>(graph.atoms);
  bool same = atomic_numbers_.defined() && numbers_.size() == atoms;
  numbers_.resize(atoms);
  for (std::size_t i = 0; i < atoms; ++i) {
    const std::int64_t number = elements_[static_cast<std::size_t>(graph.species[i])];
    same = same && numbers_[i] == number;
    numbers_[i] = number;
  }
  if (!same) atomic_numbers_ = copied(numbers_.data(), {graph.atoms}, torch::kInt64);
  return atomic_numbers_;
}

FramesTorchModel::Edges FramesTorchModel::edges_of(const FramesGraphView& graph) {
  if (graph.list != 0) return edges_of_list(graph);
  const std::int64_t edges = graph.offsets[graph.centres];
  edge_index_.resize(static_cast<std::size_t>(2 * edges));
  for (std::int32_t i = 0; i < graph.centres; ++i) {
    std::fill(edge_index_.begin() + graph.offsets[i], edge_index_.begin() + graph.offsets[i + 1], i);
  }
  std::copy(graph.neighbours, graph.neighbours + edges, edge_index_.begin() + edges);
  return {copied(edge_index_.data(), {2, edges}, torch::kInt64),
          copied(graph.vectors, {edges, 3}, torch::kFloat64).to(dtype_)};
}

/// The pairs lie on the device since the list was rebuilt. A step sends which of them are edges, the nodes of
/// the atoms and their positions: 4 bytes an edge and 28 an atom, where edges themselves are 40 bytes each.
FramesTorchModel::Edges FramesTorchModel::edges_of_list(const FramesGraphView& graph) {
  keep_pairs(graph);
  const std::int64_t edges = graph.offsets[graph.centres], atoms = graph.list_atoms;
  const torch::Tensor chosen = pairs_.index_select(1, copied(graph.edge_pairs, {edges}, torch::kInt32));
  const torch::Tensor nodes = copied(graph.list_nodes, {atoms}, torch::kInt32).to(torch::kInt64);
  const torch::Tensor positions = copied(graph.positions, {atoms, 3}, torch::kFloat64);
  const torch::Tensor vectors = positions.index_select(0, chosen[1]) - positions.index_select(0, chosen[0]);
  return {nodes.index_select(0, chosen.view({2 * edges})).view({2, edges}), vectors.to(dtype_)};
}

void FramesTorchModel::keep_pairs(const FramesGraphView& graph) {
  if (graph.list == list_) return;
  pairs_ = torch::stack({copied(graph.pair_centres, {graph.pairs}, torch::kInt32),
                         copied(graph.pair_neighbours, {graph.pairs}, torch::kInt32)});
  list_ = graph.list;
}

void FramesTorchModel::evaluate(const FramesGraphView& graph, double* atom_energies, double* edge_gradients) {
  const std::int64_t edges = graph.offsets[graph.centres];
  const torch::Tensor numbers = atomic_numbers(graph);
  auto [edge_index, edge_vectors] = edges_of(graph);
  edge_vectors.requires_grad_(true);

  const torch::Tensor energies = module_.forward({numbers, edge_index, edge_vectors}).toTensor();
  if (energies.dim() != 1 || energies.size(0) != graph.atoms) {
    throw std::runtime_error("the model returns energies of " + std::to_string(energies.numel()) +
                             " atoms, expected " + std::to_string(graph.atoms) + "; export it again");
  }
  const torch::Tensor local = energies.narrow(0, 0, graph.locals);
  const torch::Tensor result = local.detach().to(torch::kCPU, torch::kFloat64).contiguous();
  std::copy_n(result.const_data_ptr<double>(), graph.locals, atom_energies);

  torch::Tensor gradient;
  if (edges > 0 && local.requires_grad()) {
    gradient = torch::autograd::grad({local.sum()}, {edge_vectors}, {}, /*retain_graph=*/false,
                                     /*create_graph=*/false, /*allow_unused=*/true)[0];
  }
  if (!gradient.defined()) {  // no energy depends on an edge
    std::fill_n(edge_gradients, 3 * edges, 0.0);
    return;
  }
  const torch::Tensor host = gradient.to(torch::kCPU, torch::kFloat64).contiguous();
  std::copy_n(host.const_data_ptr<double>(), 3 * edges, edge_gradients);
}
