#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.h"

namespace frames {

/// Several models of the same energy surface as one: energies and gradients are the mean of all members'.
///
/// Where the members disagree, the structure is unlike their training data; what each of them said of the
/// last graph stays readable until the next one.
class Committee final : public Backend {
 public:
  /// Takes at least one model. Throws Error, naming the files, unless all have the same elements in the same
  /// order, cutoff, layers, and way of treating ghosts, since they see one graph.
  explicit Committee(std::vector<std::unique_ptr<Backend>> members);

  const Metadata& metadata() const override { return members_.front()->metadata(); }
  std::string description() const override;
  bool exchanges_ghosts() const override { return members_.front()->exchanges_ghosts(); }
  bool keeps_neighbour_list() const override;
  bool gives_flux_virials() const override;
  double tolerance() const override { return members_.front()->tolerance(); }
  void evaluate(const Graph& graph, GhostExchange* exchange, Output& output) override;

  std::size_t size() const { return members_.size(); }
  const Backend& member(std::size_t index) const { return *members_[index]; }

  /// What each member said of the last graph; empty for a single model, whose output is the mean.
  const std::vector<Output>& outputs() const { return outputs_; }

 private:
  std::vector<std::unique_ptr<Backend>> members_;
  std::vector<Output> outputs_;
};

}  // namespace frames
