#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <set>
#include <tuple>

#include "check.h"
#include "core/structure.h"
#include "lammps/graph_builder.h"

namespace {

using frames::AtomsView;
using frames::Graph;
using frames::GraphBuilder;
using frames::Owner;

constexpr double cutoff = 3.0, skin = 1.0;
const std::array<double, 9> cell = {8, 0, 0, 2, 7, 0, -1, 1.5, 9};
using Edge = std::tuple<int, int, long, long, long>;

/// What one rank of an engine holds: its own atoms, then every periodic image of any atom within its ghost
/// shell.
struct Rank {
  std::vector<int> global;  // number of each atom in the whole structure
  std::vector<double> shifts;
  std::vector<double> positions;
  std::vector<int> types;
  std::vector<Owner> owners;
  std::int32_t owned = 0;

  AtomsView view() const {
    return {owned, static_cast<std::int32_t>(types.size()), positions.data(), types.data()};
  }

  void add(int atom, const double* r, const std::array<double, 3>& shift, Owner owner, int type) {
    global.push_back(atom);
    owners.push_back(owner);
    types.push_back(type);
    for (std::size_t k = 0; k < 3; ++k) {
      shifts.push_back(shift[k]);
      positions.push_back(r[k] + shift[k]);
    }
  }

  void follow(const std::vector<double>& moved) {
    for (std::size_t i = 0; i < positions.size(); ++i) {
      positions[i] = moved[3 * static_cast<std::size_t>(global[i / 3]) + i % 3] + shifts[i];
    }
  }
};

struct System {
  std::vector<double> positions;
  std::vector<int> types;
};

System make_system(int atoms, unsigned seed) {
  System system;
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  for (int i = 0; i < atoms; ++i) {
    const double s[3] = {uniform(random), uniform(random), uniform(random)};
    for (std::size_t k = 0; k < 3; ++k) {
      system.positions.push_back(s[0] * cell[k] + s[1] * cell[3 + k] + s[2] * cell[6 + k]);
    }
    system.types.push_back(1 + i % 3);
  }
  return system;
}

/// The atoms of one of two ranks, which share the structure by the third lattice vector.
Rank make_rank(const System& system, int ranks, int me, double shell) {
  Rank rank;
  const int atoms = static_cast<int>(system.types.size());
  std::vector<Owner> owners;
  std::array<std::int32_t, 2> counts{};
  for (int i = 0; i < atoms; ++i) {
    const int owner = ranks == 1 || system.positions[3 * static_cast<std::size_t>(i) + 2] < 4.5 ? 0 : 1;
    owners.push_back({owner, counts[static_cast<std::size_t>(owner)]++});
  }
  const auto position = [&](int i) { return system.positions.data() + 3 * i; };
  const auto type = [&](int i) { return system.types[static_cast<std::size_t>(i)]; };
  const auto owner = [&](int i) { return owners[static_cast<std::size_t>(i)]; };
  for (int i = 0; i < atoms; ++i) {
    if (owner(i).rank == me) rank.add(i, position(i), {0, 0, 0}, owner(i), type(i));
  }
  rank.owned = static_cast<std::int32_t>(rank.global.size());
  for (int a = -3; a <= 3; ++a) {
    for (int b = -3; b <= 3; ++b) {
      for (int c = -3; c <= 3; ++c) {
        const std::array<double, 3> shift = {a * cell[0] + b * cell[3] + c * cell[6],
                                             b * cell[4] + c * cell[7], c * cell[8]};
        for (int i = 0; i < atoms; ++i) {
          if (a == 0 && b == 0 && c == 0 && owner(i).rank == me) continue;
          const double* r = position(i);
          bool inside = false;
          for (std::int32_t k = 0; k < rank.owned && !inside; ++k) {
            const double* x = rank.positions.data() + 3 * k;
            inside =
                std::hypot(r[0] + shift[0] - x[0], r[1] + shift[1] - x[1], r[2] + shift[2] - x[2]) < shell;
          }
          if (inside) rank.add(i, r, shift, owner(i), type(i));
        }
      }
    }
  }
  return rank;
}

/// Edges by numbers in the whole structure, of nodes up to `last`.
std::multiset<Edge> edges_of(const Graph& graph, const std::vector<int>& names, std::int32_t last) {
  std::multiset<Edge> edges;
  for (std::int32_t i = 0; i < last; ++i) {
    const auto node = static_cast<std::size_t>(i);
    for (auto e = graph.offsets[node]; e < graph.offsets[node + 1]; ++e) {
      const auto far = static_cast<std::size_t>(graph.neighbours[static_cast<std::size_t>(e)]);
      const double* v = graph.vectors.data() + 3 * e;
      edges.emplace(names[node], names[far], std::lround(1e6 * v[0]), std::lround(1e6 * v[1]),
                    std::lround(1e6 * v[2]));
    }
  }
  return edges;
}

std::vector<int> names_of(const GraphBuilder& builder, const Rank& rank) {
  std::vector<int> names;
  for (const std::int32_t atom : builder.node_atoms())
    names.push_back(rank.global[static_cast<std::size_t>(atom)]);
  return names;
}

Graph whole_graph(const System& system) {
  Graph graph;
  frames::build_graph(std::vector<std::int32_t>(system.types.begin(), system.types.end()), system.positions,
                      cell, {true, true, true}, cutoff, graph);
  return graph;
}

/// Every centre of the rank's graph must have all the edges that it has in the whole structure, and every
/// neighbour of a node that is less than `hops - 1` edges away from an owned atom must be a centre.
void check_against_whole(const GraphBuilder& builder, const Rank& rank, const System& system, int hops) {
  const Graph whole = whole_graph(system);
  const Graph& graph = builder.graph();
  std::vector<int> all;
  for (int i = 0; i < whole.atoms; ++i) all.push_back(i);
  const std::vector<int> names = names_of(builder, rank);
  CHECK(graph.locals == rank.owned);
  CHECK(graph.offsets.size() == static_cast<std::size_t>(graph.centres) + 1);
  CHECK(std::set<int>(names.begin(), names.end()).size() == names.size());  // no atom is two nodes

  const std::multiset<Edge> expected = edges_of(whole, all, whole.atoms);
  const std::multiset<Edge> found = edges_of(graph, names, graph.centres);
  std::set<int> reached(names.begin(), names.begin() + graph.locals);
  for (int hop = 1; hop < hops; ++hop) {
    std::set<int> next = reached;
    for (const Edge& edge : expected) {
      if (reached.count(std::get<0>(edge))) next.insert(std::get<1>(edge));
    }
    reached = next;
  }
  CHECK(std::set<int>(names.begin(), names.begin() + graph.centres) == reached);
  std::multiset<Edge> wanted;
  for (const Edge& edge : expected) {
    if (reached.count(std::get<0>(edge))) wanted.insert(edge);
  }
  CHECK(found == wanted);
  for (std::size_t k = 0; k < names.size(); ++k) {
    CHECK(graph.species[k] == system.types[static_cast<std::size_t>(names[k])]);
  }
}

void check_builder(int ranks, int hops, int atoms, bool exchange) {
  const System start = make_system(atoms, 4);
  for (int me = 0; me < ranks; ++me) {
    Rank rank = make_rank(start, ranks, me, hops * cutoff + skin);
    GraphBuilder builder(cutoff, hops, exchange);
    builder.set_species({-1, 1, 2, 3});
    builder.rebuild(rank.view(), rank.owners, me, skin);
    // Atoms move by up to half of the skin without new lists.
    for (unsigned move = 0; move < 5; ++move) {
      System moved = start;
      std::mt19937 random(move);
      std::uniform_real_distribution<double> uniform(-0.28, 0.28);
      for (double& x : moved.positions) x += move == 0 ? 0.0 : uniform(random);
      rank.follow(moved.positions);
      builder.update(rank.view());
      if (exchange) {
        CHECK(builder.graph().centres == builder.graph().locals);
        for (std::int32_t i = 0; i < rank.view().all; ++i) CHECK(builder.identity_of_atom(i) >= 0);
      } else {
        check_against_whole(builder, rank, moved, hops);
      }
    }
  }
}

}  // namespace

TEST(graph_on_one_rank_has_no_ghosts) {
  for (const int hops : {1, 3}) check_builder(1, hops, 40, false);
  const System system = make_system(40, 4);
  const Rank rank = make_rank(system, 1, 0, 2 * cutoff + skin);
  GraphBuilder builder(cutoff, 3, false);
  builder.set_species({-1, 1, 2, 3});
  builder.rebuild(rank.view(), rank.owners, 0, skin);
  builder.update(rank.view());
  CHECK(builder.graph().atoms == 40);
}

TEST(graph_on_two_ranks_reaches_as_far_as_the_layers) {
  for (const int hops : {1, 2, 3}) check_builder(2, hops, 40, false);
  check_builder(2, 2, 4,
                false);  // dilute: atoms without neighbours, and the same atoms as images of each other
}

TEST(graph_for_an_exchange_has_all_ghosts_as_nodes) {
  check_builder(2, 1, 40, true);
}

TEST(graph_leaves_out_types_that_the_model_does_not_treat) {
  const System system = make_system(30, 8);
  const Rank rank = make_rank(system, 1, 0, cutoff + skin);
  GraphBuilder builder(cutoff, 2, false);
  builder.set_species({-1, 1, -1, 3});
  builder.rebuild(rank.view(), rank.owners, 0, skin);
  builder.update(rank.view());
  CHECK(builder.graph().atoms == 20);
  for (const std::int32_t atom : builder.node_atoms()) CHECK(rank.types[static_cast<std::size_t>(atom)] != 2);
  for (std::size_t i = 0; i < 30; ++i)
    CHECK((builder.identity_of_atom(static_cast<int>(i)) < 0) == (rank.types[i] == 2));
}

TEST(graph_of_no_atoms) {
  GraphBuilder builder(cutoff, 2, false);
  builder.set_species({-1, 1});
  builder.rebuild({0, 0, nullptr, nullptr}, {}, 0, skin);
  builder.update({0, 0, nullptr, nullptr});
  CHECK(builder.graph().atoms == 0 && builder.graph().centres == 0 && builder.graph().edges() == 0);
}

/// Index and vector of every edge follow from the list, the vector to the last bit.
void check_list(const Graph& graph, const Rank& rank) {
  const frames::NeighbourList& list = graph.list;
  CHECK(list.centres.size() == list.neighbours.size() && list.centres.size() > graph.edges());
  CHECK(list.edges.size() == graph.edges() && list.atoms == rank.view().all);
  for (std::int32_t i = 0; i < graph.centres; ++i) {
    for (auto e = static_cast<std::size_t>(graph.offsets[static_cast<std::size_t>(i)]);
         e < static_cast<std::size_t>(graph.offsets[static_cast<std::size_t>(i) + 1]); ++e) {
      const auto pair = static_cast<std::size_t>(list.edges[e]);
      const auto from = static_cast<std::size_t>(list.centres[pair]),
                 to = static_cast<std::size_t>(list.neighbours[pair]);
      CHECK(list.nodes[from] == i && list.nodes[to] == graph.neighbours[e]);
      for (std::size_t k = 0; k < 3; ++k)
        CHECK(graph.vectors[3 * e + k] == list.positions[3 * to + k] - list.positions[3 * from + k]);
    }
  }
}

TEST(edges_are_those_of_a_list_that_stays_until_the_next_rebuild) {
  const System start = make_system(40, 4);
  for (const int ranks : {1, 2}) {
    Rank rank = make_rank(start, ranks, 0, 2 * cutoff + skin);
    GraphBuilder builder(cutoff, 2, false, true);
    builder.set_species({-1, 1, 2, 3});
    std::set<std::int64_t> numbers;
    for (unsigned rebuild = 0; rebuild < 2; ++rebuild) {
      rank.follow(start.positions);
      builder.rebuild(rank.view(), rank.owners, 0, skin);
      const std::int64_t number = builder.graph().list.number;
      CHECK(number != 0);
      numbers.insert(number);
      std::size_t edges = 0;
      bool changed = false;
      for (unsigned move = 0; move < 3; ++move) {
        System moved = start;
        std::mt19937 random(move);
        std::uniform_real_distribution<double> uniform(-0.28, 0.28);
        for (double& x : moved.positions) x += uniform(random);
        rank.follow(moved.positions);
        builder.update(rank.view());
        CHECK(builder.graph().list.number == number);
        check_list(builder.graph(), rank);
        changed = changed || (move > 0 && edges != builder.graph().edges());
        edges = builder.graph().edges();
      }
      CHECK(changed);  // or the edges would say nothing about the steps between two rebuilds
    }
    CHECK(numbers.size() == 2);
  }
  GraphBuilder without(cutoff, 2, false);
  without.set_species({-1, 1, 2, 3});
  const Rank rank = make_rank(start, 1, 0, 2 * cutoff + skin);
  without.rebuild(rank.view(), rank.owners, 0, skin);
  without.update(rank.view());
  CHECK(without.graph().list.number == 0 && without.graph().list.edges.empty());
}

TEST(pairs_closer_than_in_training_are_found) {
  const System system = make_system(40, 5);
  const Rank rank = make_rank(system, 1, 0, cutoff + skin);
  GraphBuilder builder(cutoff, 1, true);
  builder.set_species({-1, 0, 1, 1});
  builder.rebuild(rank.view(), rank.owners, 0, skin);
  builder.update(rank.view());
  CHECK(builder.closest_pair().atom < 0);

  const frames::Graph& graph = builder.graph();
  double worst = 1.0, distance = 0.0;
  const std::vector<double> limits = {1.5, 0.0, 0.0, 2.5};
  for (std::size_t i = 0; i < 40; ++i) {
    for (auto e = static_cast<std::size_t>(graph.offsets[i]);
         e < static_cast<std::size_t>(graph.offsets[i + 1]); ++e) {
      const double* r = graph.vectors.data() + 3 * e;
      const double length = std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
      const auto a = graph.species[i], b = graph.species[static_cast<std::size_t>(graph.neighbours[e])];
      const double limit = limits[static_cast<std::size_t>(2 * a + b)];
      if (limit > 0.0 && length / limit < worst) {
        worst = length / limit;
        distance = length;
      }
    }
  }
  CHECK(worst < 1.0);
  builder.set_species({-1, 0, 1, 1}, limits);
  builder.update(rank.view());
  const GraphBuilder::ClosePair pair = builder.closest_pair();
  CHECK(std::abs(pair.distance - distance) < 1e-12 && std::abs(pair.distance / pair.limit - worst) < 1e-12);
}
