#include "native/engine.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <string>
#include <utility>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "core/error.h"
#include "native/run.h"

namespace frames::native {

namespace {

/// Work of an atom in units of an edge, for dividing atoms among threads.
constexpr std::int64_t edges_per_atom = 24;

/// Below this many atoms per thread, meeting the other threads takes longer than they save.
constexpr int atoms_per_thread = 16;

/// Features that take no more bytes stay in the last level of the cache, or come from there as quickly as
/// they are worked on; fetching them ahead then costs more than it saves (benchmarks/NOTES.md).
constexpr std::size_t bytes_in_cache = std::size_t{1} << 24;

/// Whether parallel regions ran in the process that this one was forked from. Their threads stayed there, and
/// GNU's OpenMP waits for them without end.
bool threads_are_lost() {
  static std::atomic<pid_t> process_of_threads{0};
  pid_t first = 0;
  const pid_t own = getpid();
  return !process_of_threads.compare_exchange_strong(first, own) && first != own;
}

/// Hands out consecutive pieces of one allocation, each on a cache line. With a null base it only counts.
template <class T>
class Carver {
 public:
  explicit Carver(T* base) : base_(base) {}

  T* take(std::size_t size) {
    T* const piece = base_ ? base_ + used_ : nullptr;
    used_ += (size + line - 1) / line * line;
    return piece;
  }
  std::size_t used() const { return used_; }

 private:
  static constexpr std::size_t line = 64 / sizeof(T);
  T* base_;
  std::size_t used_ = 0;
};

template <class T>
void carve_nodes(Carver<T>& carver, Arrays<T>& a, int layers, std::size_t channels, std::size_t computed,
                 std::size_t nodes) {
  const std::size_t features = components * channels * computed, invariants = 3 * channels * computed;
  a.embedded = carver.take(features);
  a.embedded_slopes = carver.take(channels * computed);
  a.embedded_factors = carver.take(invariants);
  a.features = carver.take(features);
  for (int l = 0; l < layers; ++l) {
    a.layers[l].mixed = carver.take(components * channels * nodes);
    a.layers[l].messages = carver.take(components * channels * nodes);
    a.layers[l].update = carver.take(features);
    a.layers[l].slopes = carver.take(channels * computed);
    a.layers[l].factors = carver.take(invariants);
  }
  a.gradient = carver.take(features);
}

template <class T>
void carve_scratch(Carver<T>& carver, Scratch<T>& s, const Parameters<T>& p) {
  const std::size_t rows = static_cast<std::size_t>(atom_block) * p.channels;
  s.sums = carver.take(static_cast<std::size_t>(atom_block) * components * p.sums_width);
  s.lost = carver.take(static_cast<std::size_t>(p.sums_width));
  for (T*& tensors : s.tensors) tensors = carver.take(components * rows);
  for (T*& invariants : s.invariants) invariants = carver.take(3 * rows);
  s.rows = carver.take(rows);
  s.saturation = carver.take(rows);
}

}  // namespace

template <class T>
Engine<T>::Engine(std::shared_ptr<const Model<T>> model, InstructionSet set, int threads)
    : model_(std::move(model)), set_(set), kernels_(&kernels<T>(set)), threads_(std::max(threads, 1)) {
#ifndef _OPENMP
  threads_ = 1;
#endif
  const Parameters<T>& p = model_->parameters();
  layers_.resize(p.layers);
  arrays_.layers = layers_.data();
  scratch_.resize(threads_);
  upcoming_.resize(threads_);
  seen_.resize(threads_);
  shares_.resize(threads_ + 1);
  profiles_.resize(threads_);
  Carver<T> counter(nullptr);
  Scratch<T> unused;
  carve_scratch(counter, unused, p);
  for (Aligned<T>& memory : scratch_) memory.reserve(counter.used());
}

template <class T>
Scratch<T> Engine<T>::scratch(int thread) {
  Carver<T> carver(scratch_[thread].data());
  Scratch<T> pieces;
  carve_scratch(carver, pieces, model_->parameters());
  pieces.upcoming = &upcoming_[thread];
  return pieces;
}

template <class T>
void Engine<T>::measure(bool on) {
  measuring_ = on;
  if (on) std::fill(profiles_.begin(), profiles_.end(), Profile{});
}

template <class T>
void Engine<T>::check(const Graph& graph, const GhostExchange* exchange) const {
  const auto fail = [](const std::string& what) { throw Error("the graph contradicts itself: " + what); };
  const std::size_t edges = graph.edges();
  if (graph.locals < 0 || graph.locals > graph.centres || graph.centres > graph.atoms) {
    fail(std::to_string(graph.locals) + " local atoms, " + std::to_string(graph.centres) + " centres, " +
         std::to_string(graph.atoms) + " atoms");
  }
  if (exchange && graph.centres != graph.locals) {
    fail("ghosts are exchanged, but " + std::to_string(graph.centres - graph.locals) + " of them have edges");
  }
  if (graph.species.size() != static_cast<std::size_t>(graph.atoms) ||
      graph.offsets.size() != static_cast<std::size_t>(graph.centres) + 1 ||
      graph.vectors.size() != 3 * edges) {
    fail("the lengths of its arrays do not fit");
  }
  bool ordered = graph.offsets.front() == 0 && graph.offsets.back() == static_cast<std::int64_t>(edges);
  for (int i = 0; i < graph.centres; ++i) ordered &= graph.offsets[i] <= graph.offsets[i + 1];
  if (!ordered) fail("offsets do not ascend from 0 to the number of edges");
  const auto in = [](const std::vector<std::int32_t>& values, std::uint32_t size) {
    bool good = true;
    for (const std::int32_t value : values) good &= static_cast<std::uint32_t>(value) < size;
    return good;
  };
  if (!in(graph.neighbours, static_cast<std::uint32_t>(graph.atoms)))
    fail("a neighbour is not among its atoms");
  const int species = model_->parameters().species;
  if (!in(graph.species, static_cast<std::uint32_t>(species))) {
    fail("a species is not among the " + std::to_string(species) + " of the model");
  }
}

/// Gives each thread consecutive atoms of about the same work.
template <class T>
void Engine<T>::divide(int computed, int threads) {
  const std::int64_t* const offsets = arrays_.offsets;
  const std::int64_t total = offsets[computed] + edges_per_atom * computed;
  shares_[0] = 0;
  int atom = 0;
  for (int t = 1; t <= threads; ++t) {
    const std::int64_t wanted = total * t / threads;
    while (atom < computed && offsets[atom] + edges_per_atom * atom < wanted) ++atom;
    shares_[t] = t == threads ? computed : atom;
  }
}

template <class T>
void Engine<T>::prepare(const Graph& graph, int computed, GhostExchange* exchange, bool moments) {
  const Parameters<T>& p = model_->parameters();
  const std::size_t edges = graph.edges(), nodes = static_cast<std::size_t>(graph.atoms);
  Carver<T> counter(nullptr);
  const auto carve = [&](Carver<T>& carver) {
    carve_nodes(carver, arrays_, p.layers, p.channels, computed, nodes);
    arrays_.directions = carver.take(4 * edges);
    arrays_.fractions = carver.take(edges);
    if (moments) moments_.carve(carver, p, computed, nodes);
  };
  carve(counter);
  if (exchange && exchange != memory_of_) {
    memory_.clear();  // other ranks cannot read it in place
    memory_of_ = exchange;
  }
  memory_.reserve(counter.used(), [&](std::size_t bytes) {
    return exchange ? exchange->allocate(bytes) : std::shared_ptr<void>();
  });
  Carver<T> carver(memory_.data());
  carve(carver);
  const bool fetches = counter.used() * sizeof(T) > bytes_in_cache;
  edge_memory_.reserve(2 * edges);
  node_memory_.reserve(computed);
  interval_memory_.reserve(fetches ? 2 * edges + computed : edges);

  Arrays<T>& a = arrays_;
  a.locals = graph.locals;
  a.nodes = graph.atoms;
  a.species = graph.species.data();
  a.offsets = graph.offsets.data();
  if (computed > graph.centres) {
    offsets_.assign(graph.offsets.begin(), graph.offsets.end());
    offsets_.resize(static_cast<std::size_t>(computed) + 1, graph.offsets.back());
    a.offsets = offsets_.data();
  }
  a.neighbours = graph.neighbours.data();
  a.vectors = graph.vectors.data();
  a.slopes = edge_memory_.data();
  a.stretches = a.slopes + edges;
  a.intervals = interval_memory_.data();
  a.fresh = fetches ? a.intervals + edges : nullptr;
  a.fresh_counts = fetches ? a.fresh + edges : nullptr;
  a.energies = node_memory_.data();
  if (moments) {
    moment_memory_.reserve(12 * edges);
    moments_.share(a, p.layers, moment_memory_.data(), edges);
  }
}

template <class T>
void Engine<T>::evaluate(const Graph& graph, GhostExchange* exchange, Output& output) {
  check(graph, exchange);
  // Without an exchange a node that has no edges still has features of its own.
  const int computed = exchange ? graph.centres : graph.atoms;
  const int width = components * model_->parameters().channels;
  output.atom_energies.resize(graph.locals);
  output.edge_gradients.resize(3 * graph.edges());
  arrays_.edge_gradients = output.edge_gradients.data();
  prepare(graph, computed, exchange, output.wants_flux_virials);

  std::exception_ptr failure;
  const auto swap_ghosts = [&](T* rows) {
    if (!exchange || failure) return;
    try {
      exchange->forward(rows, width);
    } catch (...) {
      failure = std::current_exception();  // must not leave a parallel region
    }
  };
  const auto run = [&](int thread, const auto& meet) {
    Run<T> part{model_->parameters(),
                *kernels_,
                arrays_,
                scratch(thread),
                seen_[thread],
                shares_[thread],
                shares_[thread + 1],
                output.wants_flux_virials ? &moments_ : nullptr,
                measuring_ ? &profiles_[thread] : nullptr};
    part.evaluate(meet);
  };
  int threads = std::max(1, std::min(threads_, computed / atoms_per_thread));
  if (threads > 1 && threads_are_lost()) threads = 1;
  if (threads == 1) {
    divide(computed, 1);
    run(0, swap_ghosts);
  } else {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    {
#pragma omp single
      divide(computed, omp_get_num_threads());  // which can be fewer than asked for
      run(omp_get_thread_num(), [&](T* rows) {
#pragma omp barrier
        if (exchange) {
          if (omp_get_thread_num() == 0) swap_ghosts(rows);
#pragma omp barrier
        }
      });
    }
#endif
  }
  if (failure) std::rethrow_exception(failure);
  output.energy = 0.0;
  for (int i = 0; i < graph.locals; ++i) {
    output.atom_energies[i] = arrays_.energies[i];
    output.energy += arrays_.energies[i];
  }
  if (output.wants_flux_virials) {
    flux_virials(graph, arrays_, moments_, model_->parameters().energy_scale, output.flux_virials);
  }
}

template <class T>
double Engine<T>::operations(double atoms, double edges) const {
  const Parameters<T>& p = model_->parameters();
  const double c = p.channels, sums = p.species * p.radial_width, layers = p.layers;
  // A polynomial takes 10 operations, with its derivative 18; an anticommutator 127; X / (1 + |X|^2) 29, its
  // derivative 48; the network of a gate 12 c^2 each way.
  const double embedding_edge = p.radial_width * (10 + 18) + p.radial_width * (18 + 18 + 8 * 3);
  const double interaction_edge = c * (3 * 10 + 18) + c * (3 * 18 + 18 + 18 + 5);
  const double embedding_atom = 2 * 18 * sums * c + 2 * 12 * c * c + c * (9 + 9 + 9 + 17 + 27);
  const double interaction_atom = 2 * 2 * 18 * c * c + 2 * 12 * c * c + c * (29 + 136 + 29 + 9 + 145) +
                                  c * (136 + 165 + 136 + 165 + 48 + 136 + 127 + 18 + 48);
  const double readout_atom = 2 * 6 * c * c + c * (29 + 8 + 40 + 29 + 48);
  return edges * (embedding_edge + layers * interaction_edge) +
         atoms * (embedding_atom + layers * interaction_atom + readout_atom);
}

template class Engine<float>;
template class Engine<double>;

}  // namespace frames::native
