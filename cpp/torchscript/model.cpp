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

void FramesTorchModel::fill_inputs(const FramesGraphView& graph) {
  const auto edges = static_cast<std::size_t>(graph.offsets[graph.centres]);
  atomic_numbers_.resize(static_cast<std::size_t>(graph.atoms));
  for (std::int32_t i = 0; i < graph.atoms; ++i) {
    atomic_numbers_[static_cast<std::size_t>(i)] = elements_[static_cast<std::size_t>(graph.species[i])];
  }
  edge_index_.resize(2 * edges);
  for (std::int32_t i = 0; i < graph.centres; ++i) {
    std::fill(edge_index_.begin() + graph.offsets[i], edge_index_.begin() + graph.offsets[i + 1], i);
  }
  std::copy(graph.neighbours, graph.neighbours + edges,
            edge_index_.begin() + static_cast<std::ptrdiff_t>(edges));
}

void FramesTorchModel::evaluate(const FramesGraphView& graph, double* atom_energies, double* edge_gradients) {
  fill_inputs(graph);
  const std::int64_t edges = graph.offsets[graph.centres];
  const auto atomic_numbers =
      torch::from_blob(atomic_numbers_.data(), {graph.atoms}, torch::kInt64).to(device_);
  const auto edge_index = torch::from_blob(edge_index_.data(), {2, edges}, torch::kInt64).to(device_);
  // from_blob takes a mutable pointer, but nothing writes to an input.
  auto edge_vectors = torch::from_blob(const_cast<double*>(graph.vectors), {edges, 3}, torch::kFloat64)
                          .to(torch::TensorOptions(device_).dtype(dtype_));
  edge_vectors.requires_grad_(true);

  const torch::Tensor energies = module_.forward({atomic_numbers, edge_index, edge_vectors}).toTensor();
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
