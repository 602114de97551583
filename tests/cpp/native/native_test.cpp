// The native engine without Python: made for the sanitizers, and for what only C++ can see (ghost exchange,
// memory). Exits with status 1 and says what was expected if a check fails.

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/structure.h"
#include "native/engine.h"
#include "native/model.h"

namespace {

std::atomic<long> allocations{0};

int failures = 0;

void check(bool good, const std::string& what) {
  if (good) return;
  std::printf("FAILED: %s\n", what.c_str());
  ++failures;
}

void check_close(double found, double expected, double tolerance, const std::string& what) {
  check(std::abs(found - expected) <= tolerance, what + ": " + std::to_string(found) + " instead of " +
                                                     std::to_string(expected) + ", tolerance " +
                                                     std::to_string(tolerance));
}

using frames::Graph;
using frames::Output;

constexpr int channels = 32, layers = 2, radial_functions = 8, radial_hidden = 12, species = 3;
constexpr double cutoff = 4.0;

frames::Metadata metadata() {
  frames::Metadata m;
  m.file = "random";
  m.backbone = "cartesian";
  m.elements = {1, 6, 8};
  m.cutoff = cutoff;
  m.receptive_layers = layers + 1;
  m.dtype = frames::Metadata::Dtype::float64;
  m.energy_reference = {-1.0, -2.0, -3.0};
  m.energy_scale = 1.5;
  return m;
}

/// A safetensors file in memory with random weights of the right shapes.
class WeightsFile {
 public:
  WeightsFile() : random_(7) {
    const int c = channels;
    add("neighbour_norm", {1}, 0.0, 0.25);
    add("embedding.mix", {3, species * radial_functions, c}, 0.3);
    add("embedding.centre_scale", {species, 3, c}, 0.5, 1.0);
    add("embedding.centre_bias", {species, c}, 1.0);
    add_gate("embedding.gate");
    for (int l = 0; l < layers; ++l) {
      const std::string name = "interactions." + std::to_string(l) + ".";
      add(name + "radial.hidden", {radial_functions, radial_hidden}, 0.35);
      add(name + "radial.hidden_bias", {radial_hidden}, 0.2);
      add(name + "radial.output", {radial_hidden, 3 * c}, 0.3);
      add(name + "before", {3, c, c}, 0.18);
      add(name + "after", {3, c, c}, 0.18);
      add_gate(name + "gate");
    }
    add("hidden.weight", {c, 3 * c}, 0.1);
    add("hidden.bias", {c}, 0.1);
    add("energy.weight", {1, c}, 0.18);
    add("energy.bias", {1}, 0.1);
  }

  frames::Safetensors read() const {
    const std::string header = "{" + header_ + "}";
    std::vector<std::uint8_t> bytes;
    for (int k = 0; k < 8; ++k) bytes.push_back(static_cast<std::uint8_t>(header.size() >> (8 * k)));
    bytes.insert(bytes.end(), header.begin(), header.end());
    const auto* data = reinterpret_cast<const std::uint8_t*>(values_.data());
    bytes.insert(bytes.end(), data, data + values_.size() * sizeof(double));
    return frames::Safetensors(std::move(bytes), "random weights");
  }

  std::vector<double>& values() { return values_; }

 private:
  void add(const std::string& name, const std::vector<int>& shape, double spread, double mean = 0.0) {
    std::size_t size = 1;
    std::string text;
    for (const int n : shape) {
      size *= static_cast<std::size_t>(n);
      text += (text.empty() ? "" : ",") + std::to_string(n);
    }
    const std::size_t begin = values_.size() * sizeof(double);
    for (std::size_t k = 0; k < size; ++k)
      values_.push_back(mean + spread * std::normal_distribution<>()(random_));
    header_ += (header_.empty() ? "" : ",") + ("\"backbone." + name) + "\":{\"dtype\":\"F64\",\"shape\":[" +
               text + "],\"data_offsets\":[" + std::to_string(begin) + "," +
               std::to_string(values_.size() * sizeof(double)) + "]}";
  }

  void add_gate(const std::string& name) {
    add(name + ".first.weight", {channels, 3 * channels}, 0.1);
    add(name + ".first.bias", {channels}, 0.1);
    add(name + ".second.weight", {3 * channels, channels}, 0.1);
    add(name + ".second.bias", {3 * channels}, 0.1);
  }

  std::mt19937 random_;
  std::string header_;
  std::vector<double> values_;
};

struct System {
  std::vector<std::int32_t> species;
  std::vector<double> positions;
  std::array<double, 9> cell{};
  std::array<bool, 3> periodic{};
};

System random_system(int atoms, double side, bool periodic, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<> place(0.0, side);
  System system;
  while (static_cast<int>(system.species.size()) < atoms) {
    const std::array<double, 3> r = {place(random), place(random), place(random)};
    bool free = true;
    for (std::size_t k = 0; k < system.positions.size(); k += 3) {
      double d2 = 0.0;
      for (std::size_t a = 0; a < 3; ++a) {
        double d = r[a] - system.positions[k + a];
        if (periodic) d -= side * std::round(d / side);
        d2 += d * d;
      }
      free &= d2 > 0.8 * 0.8;
    }
    if (!free) continue;
    system.species.push_back(static_cast<std::int32_t>(random() % species));
    system.positions.insert(system.positions.end(), r.begin(), r.end());
  }
  if (periodic) {
    system.cell = {side, 0, 0, 0, side, 0, 0, 0, side};
    system.periodic = {true, true, true};
  }
  return system;
}

Graph graph_of(const System& system) {
  Graph graph;
  frames::build_graph(system.species, system.positions, system.cell, system.periodic, cutoff, graph);
  return graph;
}

std::vector<double> forces_of(const Graph& graph, const Output& output) {
  std::vector<double> forces(3 * static_cast<std::size_t>(graph.atoms), 0.0);
  frames::add_forces(graph, output.edge_gradients, forces.data(), nullptr);
  return forces;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0.0 : 1e300;
  for (std::size_t k = 0; k < std::min(a.size(), b.size()); ++k)
    largest = std::max(largest, std::abs(a[k] - b[k]));
  return largest;
}

double largest(const std::vector<double>& a) {
  return largest_difference(a, std::vector<double>(a.size(), 0.0));
}

template <class T>
using ModelPointer = std::shared_ptr<const frames::native::Model<T>>;

template <class T>
ModelPointer<T> model() {
  return std::make_shared<const frames::native::Model<T>>(metadata(), WeightsFile().read());
}

void finite_differences() {
  frames::native::Engine<double> engine(model<double>(), frames::native::available_instruction_sets().front(),
                                        1);
  System system = random_system(30, 6.5, true, 1);
  Output output;
  const Graph graph = graph_of(system);
  engine.evaluate(graph, nullptr, output);
  const std::vector<double> forces = forces_of(graph, output);
  const double h = 1e-4, size = largest(forces);
  check(size > 1e-3, "forces of random weights are not zero");
  for (const std::size_t k : {0u, 17u, 44u, 89u}) {
    std::array<double, 2> energy{};
    for (int side = 0; side < 2; ++side) {
      System moved = system;
      moved.positions[k] += side == 0 ? h : -h;
      engine.evaluate(graph_of(moved), nullptr, output);
      energy[static_cast<std::size_t>(side)] = output.energy;
    }
    check_close(forces[k], -(energy[0] - energy[1]) / (2 * h), 1e-6 * size, "force " + std::to_string(k));
  }
}

template <class T>
void instruction_sets_and_threads(double tolerance) {
  const auto shared = model<T>();
  const auto sets = frames::native::available_instruction_sets();
  for (const int atoms : {0, 1, 2, 3, 9, 33, 70}) {
    const Graph graph = graph_of(random_system(atoms, 7.0, atoms % 2 == 0, 3));
    Output expected, found;
    frames::native::Engine<T>(shared, sets.front(), 1).evaluate(graph, nullptr, expected);
    const double size = std::max(largest(expected.edge_gradients), 1e-30);
    for (const auto set : sets) {
      for (const int threads : {1, 2, 5}) {
        frames::native::Engine<T>(shared, set, threads).evaluate(graph, nullptr, found);
        const std::string what = frames::native::name(set) + ", " + std::to_string(threads) + " threads, " +
                                 std::to_string(atoms) + " atoms";
        const double bound = set == sets.front() ? 0.0 : tolerance;
        check(largest_difference(found.atom_energies, expected.atom_energies) <= 10 * bound,
              "energies, " + what);
        check(largest_difference(found.edge_gradients, expected.edge_gradients) <= bound * size,
              "gradients, " + what);
      }
    }
  }
}

/// Copies the rows of owners into those of their ghosts, as an engine does across ranks.
class Images final : public frames::GhostExchange {
 public:
  Images(std::vector<std::int32_t> owners, std::int32_t locals)
      : owners_(std::move(owners)), locals_(locals) {}
  void forward(float* rows, std::int32_t width) override { copy(rows, width); }
  void forward(double* rows, std::int32_t width) override { copy(rows, width); }
  void reverse(float*, std::int32_t) override { check(false, "no reverse exchange is needed"); }
  void reverse(double*, std::int32_t) override { check(false, "no reverse exchange is needed"); }
  int calls = 0;

 private:
  template <class T>
  void copy(T* rows, std::int32_t width) {
    ++calls;
    for (std::size_t g = 0; g < owners_.size(); ++g) {
      const std::size_t to = static_cast<std::size_t>(locals_) + g;
      std::memcpy(rows + to * static_cast<std::size_t>(width),
                  rows + static_cast<std::size_t>(owners_[g]) * static_cast<std::size_t>(width),
                  static_cast<std::size_t>(width) * sizeof(T));
    }
  }

  std::vector<std::int32_t> owners_;
  std::int32_t locals_;
};

/// The same structure with every second edge going to a ghost that stands for the neighbour.
void ghosts() {
  const auto shared = model<double>();
  const Graph folded = graph_of(random_system(40, 6.5, true, 5));
  Graph graph = folded;
  std::vector<std::int32_t> owners, ghost_of(static_cast<std::size_t>(folded.atoms), -1);
  for (std::size_t e = 0; e < graph.edges(); e += 2) {
    const std::int32_t owner = graph.neighbours[e];
    std::int32_t& ghost = ghost_of[static_cast<std::size_t>(owner)];
    if (ghost < 0) {
      ghost = graph.atoms++;
      owners.push_back(owner);
      graph.species.push_back(graph.species[static_cast<std::size_t>(owner)]);
    }
    graph.neighbours[e] = ghost;
  }
  for (const int threads : {1, 3}) {
    frames::native::Engine<double> engine(shared, frames::native::available_instruction_sets().front(),
                                          threads);
    Output expected, found;
    engine.evaluate(folded, nullptr, expected);
    Images images(owners, graph.locals);
    engine.evaluate(graph, &images, found);
    check(images.calls == 2 * layers, "two exchanges per layer");
    check(largest_difference(found.atom_energies, expected.atom_energies) == 0.0, "energies with ghosts");
    check(largest_difference(found.edge_gradients, expected.edge_gradients) == 0.0, "gradients with ghosts");
    // a rank with no atoms takes part all the same
    Graph empty;
    empty.offsets = {0};
    Images nobody({}, 0);
    engine.evaluate(empty, &nobody, found);
    check(nobody.calls == 2 * layers && found.energy == 0.0, "an empty rank exchanges, too");
  }
}

void no_allocation_in_steady_state() {
  frames::native::Engine<float> engine(model<float>(), frames::native::available_instruction_sets().front(),
                                       1);
  const Graph large = graph_of(random_system(50, 7.0, true, 6)),
              small = graph_of(random_system(9, 4.0, false, 6));
  Output output;
  engine.evaluate(large, nullptr, output);
  const long before = allocations;
  for (int k = 0; k < 3; ++k) {
    engine.evaluate(small, nullptr, output);
    engine.evaluate(large, nullptr, output);
  }
  const long taken = allocations - before;  // before the message, which takes some
  check(taken == 0, "evaluations of graphs of known size allocate nothing");
}

void engines_in_threads() {
  const auto shared = model<float>();
  const Graph graph = graph_of(random_system(60, 7.0, true, 8));
  const auto set = frames::native::available_instruction_sets().front();
  Output expected;
  frames::native::Engine<float>(shared, set, 1).evaluate(graph, nullptr, expected);
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      frames::native::Engine<float> engine(shared, set, 1);
      Output output;
      for (int k = 0; k < 5; ++k) {
        engine.evaluate(graph, nullptr, output);
        if (largest_difference(output.edge_gradients, expected.edge_gradients) != 0.0) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  check(wrong == 0, "engines in four threads agree");
}

template <class F>
void expect_error(const F& call, const std::string& part) {
  try {
    call();
  } catch (const frames::Error& error) {
    check(std::string(error.what()).find(part) != std::string::npos,
          "an error that says \"" + part + "\", not \"" + error.what() + "\"");
    return;
  }
  check(false, "an error that says \"" + part + "\"");
}

void refusals() {
  frames::native::Engine<float> engine(model<float>(), frames::native::available_instruction_sets().front(),
                                       1);
  const Graph good = graph_of(random_system(5, 4.0, false, 9));
  const auto expect = [&](const auto& change, const std::string& part) {
    Graph bad = good;
    change(bad);
    Output output;
    expect_error([&] { engine.evaluate(bad, nullptr, output); }, part);
  };
  expect([](Graph& g) { g.species[2] = species; }, "a species is not among the 3 of the model");
  expect([](Graph& g) { g.species[2] = -1; }, "a species is not among");
  expect([](Graph& g) { g.neighbours[0] = g.atoms; }, "a neighbour is not among its atoms");
  expect([](Graph& g) { g.offsets[1] = g.offsets[2] + 1; }, "offsets do not ascend");
  expect([](Graph& g) { g.vectors.pop_back(); }, "lengths of its arrays do not fit");
  expect([](Graph& g) { g.locals = g.atoms + 1; }, "local atoms");

  WeightsFile file;
  file.values()[1000] = NAN;
  expect_error([&] { frames::native::Model<float>(metadata(), file.read()); },
               "holds a number that is not finite");
  for (double& value : file.values()) value = 1e200;
  expect_error([&] { frames::native::Model<float>(metadata(), file.read()); }, "radial functions");
  frames::Metadata other = metadata();
  other.receptive_layers = 5;
  expect_error([&] { frames::native::Model<float>(other, WeightsFile().read()); }, "2 interactions, but");
  other = metadata();
  other.elements = {1, 6, 8, 9, 17};
  expect_error([&] { frames::native::Model<float>(other, WeightsFile().read()); },
               "expected a multiple of the 5");
}

}  // namespace

// Counts what the engine and its containers take from the heap.
void* operator new(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  ++allocations;
  const auto a = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(a, (size + a - 1) / a * a)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

int main() {
  finite_differences();
  instruction_sets_and_threads<float>(2e-5);
  instruction_sets_and_threads<double>(1e-12);
  ghosts();
  no_allocation_in_steady_state();
  engines_in_threads();
  refusals();
  if (failures == 0) std::printf("native engine: all checks passed\n");
  return failures == 0 ? 0 : 1;
}
