#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/backend.h"
#include "native/aligned.h"
#include "native/instruction_set.h"
#include "native/kernels.h"
#include "native/model.h"
#include "native/moments.h"
#include "native/profile.h"

namespace frames::native {

/// Evaluates one model: energies forward, gradients backward, layer by layer.
///
/// Holds the memory that an evaluation needs, which grows with the largest graph seen and is then used again.
/// One thread calls one engine at a time; engines share nothing but the model, which never changes.
template <class T>
class Engine {
 public:
  /// @param threads of an evaluation, at least 1. More take effect where built with OpenMP, for as many times
  /// 16 atoms, and not in a process forked from one in which they have been at work.
  Engine(std::shared_ptr<const Model<T>> model, InstructionSet set, int threads);

  /// Energies of local atoms and dE/d(edge vectors).
  ///
  /// Every edge between computed atoms must be present in both directions. The gradient of an interaction
  /// through edge i-j is given at the mirrored edge j-i, with the sign that makes it the same pair force:
  /// forces and virial, summed from the edges as ARCHITECTURE.md has it, are those of the energy. An edge
  /// alone may differ from dE/d(its vector) by what its mirror image has more.
  ///
  /// With an exchange, atoms beyond `locals` are ghosts: their rows of Y, and of dE/dM on the way back, are
  /// fetched from their owners between layers, 2 * layers forward exchanges of 9 * channels numbers, and
  /// three more per layer but the last for flux virials. Nothing is sent in reverse. Throws Error if the
  /// graph contradicts itself or the model.
  void evaluate(const Graph& graph, GhostExchange* exchange, Output& output);

  InstructionSet instruction_set() const { return set_; }
  int threads() const { return threads_; }
  const Model<T>& model() const { return *model_; }

  /// Starts (or stops) measuring; each thread's times add up from call to call until the next start.
  void measure(bool on);
  const std::vector<Profile>& profiles() const { return profiles_; }

  /// Floating-point operations of an evaluation, counted from the formulas.
  double operations(double atoms, double edges) const;

  /// Memory held for evaluations, without the model.
  std::size_t bytes() const {
    return memory_.capacity() * sizeof(T) + interval_memory_.capacity() * sizeof(std::int32_t) +
           (edge_memory_.capacity() + node_memory_.capacity() + moment_memory_.capacity()) * sizeof(double);
  }

 private:
  void check(const Graph& graph, const GhostExchange* exchange) const;
  void prepare(const Graph& graph, int computed, GhostExchange* exchange, bool moments);
  Scratch<T> scratch(int thread);
  void divide(int computed, int threads);

  std::shared_ptr<const Model<T>> model_;
  InstructionSet set_;
  const Kernels<T>* kernels_;
  int threads_;
  Arrays<T> arrays_;
  std::vector<LayerArrays<T>> layers_;
  const GhostExchange* memory_of_ = nullptr;  // the exchange that the next was made for, if any
  Aligned<T> memory_;            // features, invariants and rows of nodes; directions and fractions of edges
  Aligned<double> edge_memory_;  // slopes and stretches of edges
  Aligned<double> node_memory_;  // energies
  Aligned<std::int32_t> interval_memory_;
  Moments<T> moments_;               // used where Output::wants_flux_virials
  Aligned<double> moment_memory_;    // of edges
  std::vector<Aligned<T>> scratch_;  // one per thread, as the next two
  std::vector<Upcoming<T>> upcoming_;
  std::vector<std::vector<std::int32_t>> seen_;
  std::vector<std::int64_t> offsets_;  // where the graph's own do not reach over all computed atoms
  std::vector<int> shares_;            // [threads + 1] atoms of each thread
  std::vector<Profile> profiles_;
  bool measuring_ = false;
};

}  // namespace frames::native
