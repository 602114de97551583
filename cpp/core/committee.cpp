#include "core/committee.h"

#include <cstdio>

#include "core/error.h"

namespace frames {

namespace {

std::string length(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g Å", value);
  return text;
}

void require_same(const Metadata& first, const Metadata& other, const std::string& what,
                  const std::string& of_first, const std::string& of_other) {
  if (of_first == of_other) return;
  throw Error("models of a committee must share elements, cutoff and layers: " + first.file + " has " + what +
              " " + of_first + ", " + other.file + " has " + of_other +
              "; train them with the same [model] settings");
}

/// mean += share * values; sizes equal those of the first member's.
void add(std::vector<double>& mean, const std::vector<double>& values, double share, bool first) {
  if (first) mean.assign(values.size(), 0.0);
  for (std::size_t k = 0; k < values.size(); ++k) mean[k] += share * values[k];
}

}  // namespace

Committee::Committee(std::vector<std::unique_ptr<Backend>> members) : members_(std::move(members)) {
  const Metadata& first = metadata();
  for (const auto& member : members_) {
    const Metadata& other = member->metadata();
    require_same(first, other, "elements", first.element_symbols(), other.element_symbols());
    require_same(first, other, "cutoff", length(first.cutoff), length(other.cutoff));
    require_same(first, other, "layers", std::to_string(first.receptive_layers),
                 std::to_string(other.receptive_layers));
    if (member->exchanges_ghosts() != exchanges_ghosts()) {
      throw Error("models of a committee must run in the same backend: " + first.file + " runs in " +
                  members_.front()->description() + ", " + other.file + " in " + member->description() +
                  "; choose one by hand");
    }
  }
  if (members_.size() > 1) outputs_.resize(members_.size());
}

std::string Committee::description() const {
  const std::string first = members_.front()->description();
  return size() == 1 ? first : "mean of " + std::to_string(size()) + " models, " + first;
}

bool Committee::keeps_neighbour_list() const {
  bool any = false;
  for (const auto& member : members_) any = any || member->keeps_neighbour_list();
  return any;
}

bool Committee::gives_flux_virials() const {
  bool all = true;
  for (const auto& member : members_) all = all && member->gives_flux_virials();
  return all;
}

void Committee::evaluate(const Graph& graph, GhostExchange* exchange, Output& output) {
  if (size() == 1) {
    members_.front()->evaluate(graph, exchange, output);
    return;
  }
  const double share = 1.0 / static_cast<double>(size());
  output.energy = 0.0;
  for (std::size_t m = 0; m < size(); ++m) {
    outputs_[m].wants_flux_virials = output.wants_flux_virials;
    members_[m]->evaluate(graph, exchange, outputs_[m]);
    output.energy += share * outputs_[m].energy;
    add(output.atom_energies, outputs_[m].atom_energies, share, m == 0);
    add(output.edge_gradients, outputs_[m].edge_gradients, share, m == 0);
    if (output.wants_flux_virials) add(output.flux_virials, outputs_[m].flux_virials, share, m == 0);
  }
}

}  // namespace frames
