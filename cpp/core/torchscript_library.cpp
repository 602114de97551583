#include "core/torchscript_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <utility>

#include "core/error.h"
#include "core/torchscript_abi.h"

namespace frames {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t message_size = 4096;

// PyTorch's libraries that the backend needs, in the order in which they need each other. The CUDA ones are
// opened by the backend itself, and only if a GPU is asked for: they take seconds and gigabytes.
constexpr const char* torch_libraries[] = {"libc10.so", "libtorch_cpu.so"};

/// Folder of the shared library or program that holds this code.
fs::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&torchscript_factory), &info) == 0 || !info.dli_fname) return {};
  std::error_code ignored;
  const fs::path path = fs::canonical(info.dli_fname, ignored);
  return ignored ? fs::path(info.dli_fname).parent_path() : path.parent_path();
}

/// libframes_torchscript.so: beside this library, or where the package keeps its libraries relative to it.
fs::path find_backend() {
  const fs::path own = own_folder();
  for (const fs::path& folder : {own, own / "lib", own.parent_path() / "lib"}) {
    const fs::path file = folder / "libframes_torchscript.so";
    std::error_code ignored;
    if (fs::exists(file, ignored)) return file;
  }
  throw Error(
      "the torchscript backend is not installed (no libframes_torchscript.so beside " + own.string() +
      "): install PyTorch, then build frames-md again in this environment, by pip install "
      "--no-build-isolation, without which the build does not see PyTorch (docs/lammps/installation.md)");
}

/// PyTorch's folder of libraries: of the one that this process runs already, of the Python environment that
/// holds this library, else of the one that it was built with.
fs::path find_torch(const fs::path& backend) {
  if (void* loaded = dlopen("libtorch_cpu.so", RTLD_LAZY | RTLD_NOLOAD)) {
    Dl_info info{};
    const void* symbol = dlsym(loaded, "_ZN2at15get_num_threadsEv");
    const bool known = symbol && dladdr(symbol, &info) != 0 && info.dli_fname;
    dlclose(loaded);
    if (known) return fs::path(info.dli_fname).parent_path();
  }
  const fs::path site_packages = backend.parent_path().parent_path().parent_path();
  for (const fs::path& folder : {site_packages / "torch" / "lib", fs::path(FRAMES_TORCH_LIBRARIES)}) {
    std::error_code ignored;
    if (fs::exists(folder / torch_libraries[1], ignored)) return folder;
  }
  throw Error("the torchscript backend needs PyTorch, which is not installed beside it in " +
              site_packages.string() + " (pip install torch==" FRAMES_TORCH_VERSION ")");
}

/// `__version__` in torch/version.py without the part after '+', or "" if it cannot be read.
std::string torch_version(const fs::path& libraries) {
  std::ifstream file(libraries.parent_path() / "version.py");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("__version__", 0) != 0) continue;
    const std::size_t begin = line.find('\''), end = line.find_first_of("+'", begin + 1);
    if (begin != std::string::npos && end != std::string::npos)
      return line.substr(begin + 1, end - begin - 1);
  }
  return {};
}

void* open_library(const fs::path& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) throw Error("the torchscript backend cannot be opened: " + std::string(dlerror()));
  return handle;
}

/// Opens the backend once per process; it stays open, since PyTorch does not survive being closed.
const FramesTorchApi& torch_api() {
  static const FramesTorchApi* const api = [] {
    const fs::path backend = find_backend();
    const fs::path torch = find_torch(backend);
    const std::string version = torch_version(torch);
    // Checked before anything is opened: PyTorch's C++ interface changes from release to release, and a
    // mismatch would end in missing symbols or in a crash.
    if (version != FRAMES_TORCH_VERSION) {
      throw Error("the torchscript backend was built for PyTorch " FRAMES_TORCH_VERSION ", but " +
                  torch.string() + " is PyTorch " + (version.empty() ? "of an unknown version" : version) +
                  "; install torch==" FRAMES_TORCH_VERSION
                  ", or build frames-md again in this environment, by pip install --no-build-isolation");
    }
    for (const char* library : torch_libraries) open_library(torch / library);
    const auto entry = reinterpret_cast<FramesTorchEntry>(dlsym(open_library(backend), "frames_torchscript"));
    const FramesTorchApi* found = entry ? entry() : nullptr;
    if (!found || found->abi_version != frames_torchscript_abi_version ||
        std::string(found->torch_version) != FRAMES_TORCH_VERSION) {
      throw Error(backend.string() + " belongs to another build of frames-md; install frames-md again");
    }
    return found;
  }();
  return *api;
}

class TorchScriptBackend final : public Backend {
 public:
  TorchScriptBackend(const Metadata& metadata, const LoadOptions& options)
      : metadata_(metadata), api_(torch_api()), threads_(options.threads) {
    const std::vector<std::int32_t> elements(metadata_.elements.begin(), metadata_.elements.end());
    const FramesModelView view{metadata_.file.c_str(), elements.data(),
                               static_cast<std::int32_t>(elements.size()),
                               metadata_.dtype == Metadata::Dtype::float64};
    std::string message(message_size, '\0');
    if (api_.open(&view, options.device.c_str(), options.local_rank, threads_, &model_, message.data(),
                  message.size())) {
      throw Error(metadata_.file + ": " + message.c_str());
    }
  }
  ~TorchScriptBackend() override { api_.close(model_); }
  TorchScriptBackend(const TorchScriptBackend&) = delete;
  TorchScriptBackend& operator=(const TorchScriptBackend&) = delete;

  const Metadata& metadata() const override { return metadata_; }
  bool exchanges_ghosts() const override { return false; }
  bool keeps_neighbour_list() const override { return true; }

  std::string description() const override {
    return std::string("torchscript (PyTorch ") + api_.torch_version + ", " + api_.device_name(model_) +
           ", " + std::to_string(threads_) + (threads_ == 1 ? " thread)" : " threads)");
  }

  void evaluate(const Graph& graph, GhostExchange*, Output& output) override {
    output.energy = 0.0;
    output.atom_energies.resize(static_cast<std::size_t>(graph.locals));
    output.edge_gradients.resize(graph.vectors.size());
    if (graph.locals == 0) {
      output.edge_gradients.assign(graph.vectors.size(), 0.0);
      return;
    }
    const NeighbourList& list = graph.list;
    const FramesGraphView view{
        graph.atoms,          graph.locals,         graph.centres,
        graph.species.data(), graph.offsets.data(), graph.neighbours.data(),
        graph.vectors.data(), list.number,          static_cast<std::int64_t>(list.centres.size()),
        list.atoms,           list.centres.data(),  list.neighbours.data(),
        list.edges.data(),    list.nodes.data(),    list.positions};
    char message[message_size] = "";
    if (api_.evaluate(model_, &view, output.atom_energies.data(), output.edge_gradients.data(), message,
                      message_size)) {
      throw Error(metadata_.file + ": " + message);
    }
    for (const double energy : output.atom_energies) output.energy += energy;
  }

 private:
  Metadata metadata_;
  const FramesTorchApi& api_;
  std::int32_t threads_;
  FramesTorchModel* model_ = nullptr;
};

}  // namespace

BackendFactory torchscript_factory() {
  return {"torchscript",
          [](const Metadata& metadata, const LoadOptions& options) {
            const char* const own = metadata.dtype == Metadata::Dtype::float32 ? "single" : "double";
            const bool fits = options.precision.empty() || options.precision == own;
            return fits ? std::string()
                        : std::string("computes in ") + own + " precision, as the model file does";
          },
          [](ModelFile& file, const LoadOptions& options) -> std::unique_ptr<Backend> {
            return std::make_unique<TorchScriptBackend>(file.metadata(), options);
          }};
}

}  // namespace frames
