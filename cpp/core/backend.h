#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/graph.h"
#include "core/metadata.h"

namespace frames {

/// How a backend makes features of ghost atoms agree with their owners between the layers of a model.
///
/// Rows belong to the nodes of the graph: `rows` is [Graph::atoms, width], contiguous. Every rank of the
/// engine makes the same sequence of calls, also one that has no atoms, so a backend makes them even for an
/// empty graph.
class GhostExchange {
 public:
  virtual ~GhostExchange() = default;

  /// Memory that arrays of rows should lie in, so that other ranks can read them in place; null if any will
  /// do. Zeroed; may be given up at any time.
  virtual std::shared_ptr<void> allocate(std::size_t bytes) = 0;

  /// Overwrites the rows of ghost nodes [locals, atoms) with those of the local atoms that they stand for.
  /// The rows of local atoms must stay as they are until the next call.
  virtual void forward(float* rows, std::int32_t width) = 0;
  virtual void forward(double* rows, std::int32_t width) = 0;
};

/// A loaded model. One thread uses one object at a time; objects share nothing.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual const Metadata& metadata() const = 0;

  /// For logs, for example "native, AVX2, 1 thread" or "torchscript, PyTorch 2.9.1, cpu, 1 thread".
  virtual std::string description() const = 0;

  /// True if features of ghost nodes are exchanged between layers, so that edges of local atoms are enough.
  /// False if the graph must hold the edges of all nodes within `receptive_layers - 1` hops of a local atom.
  virtual bool exchanges_ghosts() const = 0;

  /// True if the backend reads Graph::list where there is one: what does not change between two rebuilds is
  /// then taken over once.
  virtual bool keeps_neighbour_list() const { return false; }

  /// True if `evaluate` can give Output::flux_virials.
  virtual bool gives_flux_virials() const { return false; }

  /// Largest relative deviation from the exported model that rounding explains, for the replay of the test
  /// frame.
  virtual double tolerance() const { return metadata().dtype == Metadata::Dtype::float32 ? 1e-5 : 1e-10; }

  /// Energies of local atoms and the gradient with respect to every edge vector.
  /// @param exchange null where no node stands for an atom of another rank.
  /// Throws Error. Takes no memory once the sizes of graphs have been seen.
  virtual void evaluate(const Graph& graph, GhostExchange* exchange, Output& output) = 0;
};

}  // namespace frames
