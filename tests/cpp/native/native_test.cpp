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
#include "random_model.h"

extern std::atomic<long> allocations;  // count_allocations.cpp

namespace {

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
using namespace random_model;

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
  std::shared_ptr<void> allocate(std::size_t) override { return nullptr; }
  void forward(float* rows, std::int32_t width) override { copy(rows, width); }
  void forward(double* rows, std::int32_t width) override { copy(rows, width); }
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
    // virials of ghosts are shares of their owners'
    expected.wants_flux_virials = found.wants_flux_virials = true;
    engine.evaluate(folded, nullptr, expected);
    images.calls = 0;
    engine.evaluate(graph, &images, found);
    check(images.calls == 2 * layers + 3 * (layers - 1), "exchanges with moments");
    for (std::size_t g = 0; g < owners.size(); ++g) {
      for (std::size_t c = 0; c < 9; ++c) {
        found.flux_virials[9 * static_cast<std::size_t>(owners[g]) + c] +=
            found.flux_virials[9 * (static_cast<std::size_t>(graph.locals) + g) + c];
      }
    }
    found.flux_virials.resize(expected.flux_virials.size());
    check(largest_difference(found.flux_virials, expected.flux_virials) <
              1e-12 * largest(expected.flux_virials),
          "flux virials with ghosts");
    found.wants_flux_virials = false;
    // a rank with no atoms takes part all the same
    Graph empty;
    empty.offsets = {0};
    Images nobody({}, 0);
    engine.evaluate(empty, &nobody, found);
    check(nobody.calls == 2 * layers && found.energy == 0.0, "an empty rank exchanges, too");
  }
}

/// Copies of one graph, each apart from the others.
Graph copies_of(const Graph& one, int count) {
  Graph many;
  many.atoms = many.locals = many.centres = one.atoms * count;
  many.offsets = {0};
  for (int copy = 0; copy < count; ++copy) {
    for (std::size_t i = 1; i < one.offsets.size(); ++i) {
      many.offsets.push_back(static_cast<std::int64_t>(many.neighbours.size()) + one.offsets[i]);
    }
    for (const std::int32_t j : one.neighbours) many.neighbours.push_back(j + copy * one.atoms);
    many.species.insert(many.species.end(), one.species.begin(), one.species.end());
    many.vectors.insert(many.vectors.end(), one.vectors.begin(), one.vectors.end());
  }
  return many;
}

/// Rows of large graphs are fetched ahead, which must show in nothing.
void more_than_the_cache_holds() {
  const auto shared = model<float>();
  const Graph one = graph_of(random_system(70, 7.0, true, 10));
  const Graph many = copies_of(one, 40);
  Output expected, found;
  for (const auto set : frames::native::available_instruction_sets()) {
    frames::native::Engine<float>(shared, set, 1).evaluate(one, nullptr, expected);
    for (const int threads : {1, 3}) {
      frames::native::Engine<float> engine(shared, set, threads);
      for (int k = 0; k < 2; ++k) {
        engine.evaluate(many, nullptr, found);
        double difference = 0.0;
        for (std::size_t e = 0; e < found.edge_gradients.size(); ++e) {
          difference =
              std::max(difference, std::abs(found.edge_gradients[e] -
                                            expected.edge_gradients[e % expected.edge_gradients.size()]));
        }
        check(difference == 0.0, "copies of a graph have its gradients");
      }
      check(engine.bytes() > std::size_t{1} << 25, "a graph well beyond what is left to the cache");
    }
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

int main() {
  finite_differences();
  instruction_sets_and_threads<float>(2e-5);
  instruction_sets_and_threads<double>(1e-12);
  ghosts();
  more_than_the_cache_holds();
  no_allocation_in_steady_state();
  engines_in_threads();
  refusals();
  if (failures == 0) std::printf("native engine: all checks passed\n");
  return failures == 0 ? 0 : 1;
}
