// The Python module frames._native: numpy arrays in and out. python/frames/native.py is its typed face.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/replay.h"
#include "core/structure.h"
#include "native/backend.h"

namespace py = pybind11;

namespace {

using frames::Error;
using Ints = py::array_t<std::int64_t, py::array::c_style | py::array::forcecast>;
using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;

/// Holds a model for one Python thread, the others wait without the interpreter's lock.
class Turn {
 public:
  explicit Turn(std::recursive_mutex& mutex) : lock_(mutex, std::defer_lock) {
    py::gil_scoped_release release;
    lock_.lock();
  }

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

/// A model with the graph and the result of its last evaluation, which keep their memory. Python threads that
/// share one take turns.
class Model {
 public:
  Model(const std::string& path, int threads, const std::string& instruction_set) {
    frames::ModelFile file(path);
    backend_ = frames::native::load_native(file, threads, instruction_set);
    frames::replay_test_frame(*backend_, file.test_frame());
  }

  /// [N, 3, 3]: Output::flux_virials of the last graph, evaluated again.
  Doubles flux_virials() {
    const Turn turn(mutex_);
    require_graph();
    {
      py::gil_scoped_release release;
      output_.wants_flux_virials = true;
      backend_->evaluate(graph_, nullptr, output_);
      output_.wants_flux_virials = false;
    }
    Doubles virials({static_cast<py::ssize_t>(graph_.atoms), py::ssize_t{3}, py::ssize_t{3}});
    std::copy(output_.flux_virials.begin(), output_.flux_virials.end(), virials.mutable_data());
    return virials;
  }

  py::tuple evaluate(const Ints& species, const Ints& edge_index, const Doubles& edge_vectors) {
    const Turn turn(mutex_);
    set_graph(species, edge_index, edge_vectors);
    {
      py::gil_scoped_release release;
      backend_->evaluate(graph_, nullptr, output_);
    }
    Doubles energies(static_cast<py::ssize_t>(output_.atom_energies.size()));
    std::copy(output_.atom_energies.begin(), output_.atom_energies.end(), energies.mutable_data());
    Doubles gradients({static_cast<py::ssize_t>(graph_.edges()), py::ssize_t{3}});
    double* const to = gradients.mutable_data();
    for (std::size_t e = 0; e < order_.size(); ++e) {
      for (int k = 0; k < 3; ++k) to[3 * order_[e] + k] = output_.edge_gradients[3 * e + k];
    }
    return py::make_tuple(output_.energy, energies, gradients);
  }

  /// Neighbour list, energies, forces and virial of a whole structure.
  py::tuple evaluate_structure(const Ints& species, const Doubles& positions, const Doubles& cell,
                               const std::vector<bool>& periodic) {
    const auto atoms = species.size();
    if (species.ndim() != 1 || positions.ndim() != 2 || positions.shape(0) != atoms ||
        positions.shape(1) != 3 || cell.size() != 9 || periodic.size() != 3) {
      throw Error("expected species [N], positions [N, 3], cell [3, 3] and periodic [3]");
    }
    const Turn turn(mutex_);
    set_species(species);
    const std::vector<double> r(positions.data(), positions.data() + positions.size());
    std::array<double, 9> box{};
    std::copy_n(cell.data(), 9, box.begin());
    Doubles energies(atoms), forces({atoms, py::ssize_t{3}}), virial({py::ssize_t{3}, py::ssize_t{3}});
    std::fill_n(forces.mutable_data(), forces.size(), 0.0);
    std::fill_n(virial.mutable_data(), virial.size(), 0.0);
    {
      double* const f = forces.mutable_data();
      double* const w = virial.mutable_data();
      py::gil_scoped_release release;
      const auto species_of_atoms = graph_.species;
      frames::build_graph(species_of_atoms, r, box, {periodic[0], periodic[1], periodic[2]},
                          backend_->metadata().cutoff, graph_);
      backend_->evaluate(graph_, nullptr, output_);
      frames::add_forces(graph_, output_.edge_gradients, f, w);
    }
    std::copy(output_.atom_energies.begin(), output_.atom_energies.end(), energies.mutable_data());
    return py::make_tuple(output_.energy, energies, forces, virial, graph_.edges());
  }

  /// Evaluates the last graph `repeats` times and returns the seconds that each evaluation took.
  std::vector<double> time(int repeats);

  py::dict profile(int repeats);

  std::string description() const { return backend_->description(); }
  double operations(double atoms, double edges) const { return backend_->operations(atoms, edges); }
  int radial_intervals() const { return backend_->radial_intervals(); }
  double radial_value_error() const { return backend_->radial_value_error(); }
  double radial_slope_error() const { return backend_->radial_slope_error(); }

 private:
  void require_graph() const {
    if (graph_.offsets.empty()) throw Error("nothing to evaluate: give a structure first");
  }
  void set_species(const Ints& species) {
    if (species.size() > std::numeric_limits<std::int32_t>::max()) throw Error("too many atoms");
    graph_.species.resize(static_cast<std::size_t>(species.size()));
    for (py::ssize_t i = 0; i < species.size(); ++i) {
      const std::int64_t s = species.data()[i];
      graph_.species[static_cast<std::size_t>(i)] = s < 0 || s > 1000 ? -1 : static_cast<std::int32_t>(s);
    }
  }

  void set_graph(const Ints& species, const Ints& edge_index, const Doubles& edge_vectors);

  std::unique_ptr<frames::native::NativeBackend> backend_;
  frames::Graph graph_;
  frames::Output output_;
  std::vector<std::size_t> order_;  // of the edges sorted by centre, in those given
  std::recursive_mutex mutex_;
};

/// Edges in any order become edges sorted by centre, those of a centre in the order given.
void Model::set_graph(const Ints& species, const Ints& edge_index, const Doubles& edge_vectors) {
  if (species.ndim() != 1)
    throw Error("species has " + std::to_string(species.ndim()) + " dimensions, expected [N]");
  if (edge_index.ndim() != 2 || edge_index.shape(0) != 2) throw Error("edge_index must have shape [2, E]");
  const py::ssize_t edges = edge_index.shape(1), atoms = species.size();
  if (edge_vectors.ndim() != 2 || edge_vectors.shape(0) != edges || edge_vectors.shape(1) != 3) {
    throw Error("edge_vectors must have shape [" + std::to_string(edges) + ", 3]");
  }
  set_species(species);
  graph_.atoms = graph_.locals = graph_.centres = static_cast<std::int32_t>(atoms);
  graph_.offsets.assign(static_cast<std::size_t>(atoms) + 1, 0);
  const std::int64_t* const centre = edge_index.data();
  const std::int64_t* const neighbour = centre + edges;
  for (py::ssize_t e = 0; e < edges; ++e) {
    if (centre[e] < 0 || centre[e] >= atoms || neighbour[e] < 0 || neighbour[e] >= atoms) {
      throw Error("edge " + std::to_string(e) + " joins atoms " + std::to_string(centre[e]) + " and " +
                  std::to_string(neighbour[e]) + ", but there are " + std::to_string(atoms));
    }
    ++graph_.offsets[static_cast<std::size_t>(centre[e]) + 1];
  }
  for (std::size_t i = 1; i < graph_.offsets.size(); ++i) graph_.offsets[i] += graph_.offsets[i - 1];
  std::vector<std::int64_t> next(graph_.offsets.begin(), graph_.offsets.end() - 1);
  order_.resize(static_cast<std::size_t>(edges));
  graph_.neighbours.resize(order_.size());
  graph_.vectors.resize(3 * order_.size());
  for (py::ssize_t e = 0; e < edges; ++e) {
    const auto to = static_cast<std::size_t>(next[static_cast<std::size_t>(centre[e])]++);
    order_[to] = static_cast<std::size_t>(e);
    graph_.neighbours[to] = static_cast<std::int32_t>(neighbour[e]);
    std::copy_n(edge_vectors.data() + 3 * e, 3, graph_.vectors.begin() + static_cast<std::ptrdiff_t>(3 * to));
  }
}

std::vector<double> Model::time(int repeats) {
  const Turn turn(mutex_);
  require_graph();
  py::gil_scoped_release release;
  std::vector<double> seconds;
  for (int k = 0; k < repeats; ++k) {
    const auto start = std::chrono::steady_clock::now();
    backend_->evaluate(graph_, nullptr, output_);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return seconds;
}

py::dict Model::profile(int repeats) {
  const Turn turn(mutex_);
  using frames::native::Profile;
  // of each evaluation, the mean over the threads that took part
  std::array<std::vector<double>, Profile::steps> seconds;
  for (int k = 0; k < repeats; ++k) {
    backend_->measure(true);
    time(1);
    auto threads = backend_->measurement().threads;
    const auto idle = [](const Profile& thread) { return thread.seconds[Profile::geometry] == 0.0; };
    threads.erase(std::remove_if(threads.begin() + 1, threads.end(), idle), threads.end());
    for (std::size_t step = 0; step < seconds.size(); ++step) {
      double sum = 0.0;
      for (const Profile& thread : threads) sum += thread.seconds[step];
      seconds[step].push_back(sum / static_cast<double>(threads.size()));
    }
  }
  backend_->measure(false);
  const auto measured = backend_->measurement();
  py::dict steps;
  for (std::size_t step = 0; step < seconds.size(); ++step) steps[Profile::names[step]] = seconds[step];
  py::dict result;
  result["steps"] = steps;
  result["threads"] = backend_->threads();
  result["instruction_set"] = frames::native::name(backend_->instruction_set());
  result["operations"] = backend_->operations(graph_.atoms, static_cast<double>(graph_.edges()));
  result["workspace_bytes"] = measured.bytes;
  result["model_bytes"] = measured.model_bytes;
  return result;
}

/// Operations per second of one core, the best of a few measurements of `seconds` in all.
double measure_peak(double seconds, bool double_precision) {
  using Clock = std::chrono::steady_clock;
  using frames::native::kernels;
  const auto set = frames::native::available_instruction_sets().front();
  const auto multiply_adds =
      double_precision ? kernels<double>(set).multiply_adds : kernels<float>(set).multiply_adds;
  py::gil_scoped_release release;
  const auto begin = Clock::now();
  double best = 0.0, spent = 0.0;
  while (spent < seconds) {
    const auto start = Clock::now();
    const double operations = multiply_adds(100000);
    best = std::max(best, operations / std::chrono::duration<double>(Clock::now() - start).count());
    spent = std::chrono::duration<double>(Clock::now() - begin).count();
  }
  return best;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const auto set : frames::native::available_instruction_sets())
    names.push_back(frames::native::name(set));
  return names;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "The native engine; see frames.native.";
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      const py::object type = py::module_::import("frames.errors").attr("FramesError");
      py::set_error(type, error.what());
    }
  });
  module.def("instruction_sets", &instruction_sets);
  module.def("measure_peak", &measure_peak, py::arg("seconds"), py::arg("double_precision"));
  py::class_<Model>(module, "Model")
      .def(py::init<const std::string&, int, const std::string&>(), py::arg("path"), py::arg("threads"),
           py::arg("instruction_set"), py::call_guard<py::gil_scoped_release>())
      .def("evaluate", &Model::evaluate, py::arg("species"), py::arg("edge_index"), py::arg("edge_vectors"))
      .def("evaluate_structure", &Model::evaluate_structure, py::arg("species"), py::arg("positions"),
           py::arg("cell"), py::arg("periodic"))
      .def("flux_virials", &Model::flux_virials)
      .def("time", &Model::time, py::arg("repeats"))
      .def("profile", &Model::profile, py::arg("repeats"))
      .def("operations", &Model::operations, py::arg("atoms"), py::arg("edges"))
      .def_property_readonly("description", &Model::description)
      .def_property_readonly("radial_intervals", &Model::radial_intervals)
      .def_property_readonly("radial_value_error", &Model::radial_value_error)
      .def_property_readonly("radial_slope_error", &Model::radial_slope_error);
}
