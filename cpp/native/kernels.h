#pragma once

#include <cstddef>
#include <cstdint>

#include "native/instruction_set.h"
#include "native/parameters.h"

namespace frames::native {

/// What the kernels read and write for the nodes of one layer. Nodes are the computed atoms first, then
/// ghosts. On the way back, gradients take the place of what is not needed any more.
template <class T>
struct LayerArrays {
  T* mixed = nullptr;     ///< features [nodes]: Y
  T* messages = nullptr;  ///< features [nodes]: M, then dE/dM
  T* update = nullptr;    ///< features [computed]: D, then dE/dY, at first without the neighbours' part
  T* slopes = nullptr;    ///< rows [computed]: slope of the activation in the hidden layer of the gate
  T* factors = nullptr;   ///< invariants [computed]: the gate's factors
};

/// Everything a kernel works on: plain pointers to the graph, the edges and the nodes of one evaluation.
template <class T>
struct Arrays {
  // the graph
  int locals = 0;
  int nodes = 0;
  const std::int32_t* species = nullptr;     ///< [nodes]
  const std::int64_t* offsets = nullptr;     ///< [computed + 1]
  const std::int32_t* neighbours = nullptr;  ///< [edges]
  const double* vectors = nullptr;           ///< [edges][3] Å

  // What `messages` and `messages_backward` fetch into the cache; null where it is small enough to stay
  // there.
  std::int32_t* fresh =
      nullptr;  ///< [edges] at offsets[i]: neighbours that i is the first of its block to have
  std::int32_t* fresh_counts = nullptr;  ///< [computed] how many

  // edges
  T* directions = nullptr;            ///< [edges][4]: unit vector, 1 / distance
  T* fractions = nullptr;             ///< [edges] place inside the interval of the radial tables, 0 to 1
  std::int32_t* intervals = nullptr;  ///< [edges]
  double* stretches = nullptr;  ///< [edges] derivative of the place in the radial tables by the distance, 1/Å
  double* slopes = nullptr;     ///< [edges] dE/d(place) through the interactions
  double* edge_gradients = nullptr;  ///< [edges][3] eV/Å

  // nodes
  T* embedded = nullptr;             ///< features [computed]: before the embedding's gate
  T* embedded_slopes = nullptr;      ///< rows [computed]
  T* embedded_factors = nullptr;     ///< invariants [computed]
  T* features = nullptr;             ///< features [computed]: X of the current layer
  LayerArrays<T>* layers = nullptr;  ///< [layers]
  T* gradient = nullptr;             ///< features [computed]: dE/dX of the current layer
  double* energies = nullptr;        ///< [computed] eV
};

/// Rows of features that the next block of atoms will need, fetched while kernels work on this one. Written
/// all the time, so not on a cache line with that of another thread.
template <class T>
struct alignas(64) Upcoming {
  struct Piece {
    const T* rows;
    std::ptrdiff_t blocks;  ///< of channels, still to be fetched; at least 1
  };
  static constexpr int most = 6;
  Piece piece[most];
  int pieces = 0;  ///< the last one is fetched first
};

/// Memory for one block of atoms, used within a kernel or handed from one to the next.
template <class T>
struct Scratch {
  T* sums = nullptr;        ///< features of the embedding's sums
  T* lost = nullptr;        ///< [sums_width] what rounding took from the scalar parts of one atom's sums
  T* tensors[3] = {};       ///< features
  T* invariants[2] = {};    ///< invariants
  T* rows = nullptr;        ///< rows
  T* saturation = nullptr;  ///< rows: 1 / (1 + |P|^2)
  Upcoming<T>* upcoming = nullptr;
};

/// The steps of an evaluation for atoms [begin, end), compiled for one instruction set; `run.h` has the order
/// in which they are called. At most `atom_block` atoms, but any number for messages, moments and geometry,
/// which need no scratch.
template <class T>
struct Kernels {
  using Step = void (*)(const Parameters<T>&, const Arrays<T>&, const Scratch<T>&, int begin, int end);
  using LayerStep = void (*)(const Parameters<T>&, const Arrays<T>&, const Scratch<T>&, int layer, int begin,
                             int end);

  using MomentsStep = void (*)(const Parameters<T>&, const Arrays<T>&, const Arrays<T>* moments, int layer,
                               int begin, int end);

  Step geometry;                ///< directions, distances, places in the radial tables
  Step embed_edges;             ///< sums over neighbours, into scratch
  Step embed_nodes;             ///< from there: the first features
  LayerStep mix;                ///< X to Y
  LayerStep messages;           ///< neighbours' Y to M
  LayerStep update;             ///< X, Y, M to the next layer's X
  Step readout;                 ///< the last X to energies and dE/dX
  LayerStep update_backward;    ///< dE/dX of the next layer to dE/dM and part of dE/dY
  LayerStep messages_backward;  ///< neighbours' dE/dM to the rest of dE/dY, and the slopes of the edges
  /// For the moments along x, y, z of dE/dM: what neighbours' dE/dM give to those of dE/dY (see moments.h).
  MomentsStep moments_backward;
  LayerStep mix_backward;     ///< dE/dY to dE/dX of this layer
  Step embed_nodes_backward;  ///< dE/dX to the gradient of the sums, into scratch
  Step embed_edges_backward;  ///< from there: the gradients of the edges

  /// Not a step: rounds of multiply-adds on registers alone, to measure what the processor could do. Returns
  /// the number of operations.
  double (*multiply_adds)(std::int64_t rounds);
};

constexpr int atom_block = 16;

/// Throws Error if the set was not compiled in.
template <class T>
const Kernels<T>& kernels(InstructionSet set);

}  // namespace frames::native
