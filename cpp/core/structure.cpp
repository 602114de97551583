#include "core/structure.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/cell_list.h"
#include "core/error.h"

namespace frames {

namespace {

using Vector = std::array<double, 3>;

constexpr double farthest_position = 1e6;  // Å
constexpr double most_images = 2e6;
constexpr double images_of_a_wide_cell = 27.0;  // per atom, in a cell as wide as the cutoff
constexpr std::size_t most_edges = 50'000'000;

Vector cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double dot(const Vector& a, const Vector& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

double norm(const Vector& a) {
  return std::sqrt(dot(a, a));
}

/// Lattice vectors, those of open directions replaced by unit vectors, and their reciprocals (without 2π).
struct Lattice {
  std::array<Vector, 3> rows{};
  std::array<Vector, 3> reciprocal{};
};

/// A unit vector that is not in the plane or on the line of two others (zero vectors do not count).
Vector unit_normal(const Vector& a, const Vector& b) {
  Vector normal = cross(a, b);
  if (norm(normal) == 0.0) {
    // At most one direction is given: cross it with the axis that it leans to least.
    const Vector& given = norm(a) > 0.0 ? a : b;
    Vector axis{};
    std::size_t smallest = 0;
    for (std::size_t k = 1; k < 3; ++k) {
      if (std::abs(given[k]) < std::abs(given[smallest])) smallest = k;
    }
    axis[smallest] = 1.0;
    normal = norm(given) > 0.0 ? cross(given, axis) : axis;
  }
  const double length = norm(normal);
  return {normal[0] / length, normal[1] / length, normal[2] / length};
}

Lattice complete_lattice(const std::array<double, 9>& cell, const std::array<bool, 3>& periodic) {
  Lattice lattice;
  for (std::size_t k = 0; k < 3; ++k) {
    if (periodic[k]) lattice.rows[k] = {cell[3 * k], cell[3 * k + 1], cell[3 * k + 2]};
  }
  for (std::size_t k = 0; k < 3; ++k) {
    if (!periodic[k]) lattice.rows[k] = unit_normal(lattice.rows[(k + 1) % 3], lattice.rows[(k + 2) % 3]);
  }
  double lengths = 1.0;
  for (const Vector& row : lattice.rows) lengths *= norm(row);
  const double volume = dot(lattice.rows[0], cross(lattice.rows[1], lattice.rows[2]));
  if (!std::isfinite(volume) || !std::isfinite(lengths) || std::abs(volume) <= 1e-6 * lengths) {
    throw Error("the lattice vectors of the periodic directions are zero, not finite or linearly dependent");
  }
  for (std::size_t k = 0; k < 3; ++k) {
    const Vector area = cross(lattice.rows[(k + 1) % 3], lattice.rows[(k + 2) % 3]);
    lattice.reciprocal[k] = {area[0] / volume, area[1] / volume, area[2] / volume};
  }
  return lattice;
}

/// Atoms and their periodic images around the cell. The first points are the atoms, wrapped into the cell.
struct Images {
  std::vector<double> points;        // [3 images] Å
  std::vector<std::int32_t> owners;  // [images]
};

Images make_images(const std::vector<double>& positions, const Lattice& lattice,
                   const std::array<bool, 3>& periodic, double cutoff) {
  const std::size_t atoms = positions.size() / 3;
  Vector margin{};  // in fractions of the cell
  double images = static_cast<double>(atoms);
  for (std::size_t k = 0; k < 3; ++k) {
    margin[k] = periodic[k] ? cutoff * norm(lattice.reciprocal[k]) : 0.0;
    images *= 1.0 + 2.0 * margin[k];
  }
  if (images > most_images && images <= images_of_a_wide_cell * static_cast<double>(atoms)) {
    throw Error(
        std::to_string(atoms) +
        " atoms are too many: expected at most 2e6, periodic images around the cell included; LAMMPS divides "
        "larger systems among processes");
  }
  if (!(images <= most_images)) throw Error("the periodic cell is too small for the cutoff");

  Images result;
  std::vector<Vector> fractions(atoms);
  for (std::size_t i = 0; i < atoms; ++i) {
    Vector position = {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]};
    for (std::size_t k = 0; k < 3; ++k) fractions[i][k] = dot(position, lattice.reciprocal[k]);
    for (std::size_t k = 0; k < 3; ++k) {
      if (!periodic[k]) continue;
      const double whole = std::floor(fractions[i][k]);
      fractions[i][k] -= whole;
      for (std::size_t m = 0; m < 3; ++m) position[m] -= whole * lattice.rows[k][m];
    }
    result.points.insert(result.points.end(), position.begin(), position.end());
    result.owners.push_back(static_cast<std::int32_t>(i));
  }

  // Shifts n with -margin <= s + n <= 1 + margin, for each atom on its own.
  const auto first = [&](double s, std::size_t k) { return periodic[k] ? std::ceil(-margin[k] - s) : 0.0; };
  const auto last = [&](double s, std::size_t k) {
    return periodic[k] ? std::floor(1.0 + margin[k] - s) : 0.0;
  };
  for (std::size_t i = 0; i < atoms; ++i) {
    const Vector& s = fractions[i];
    for (double a = first(s[0], 0); a <= last(s[0], 0); ++a) {
      for (double b = first(s[1], 1); b <= last(s[1], 1); ++b) {
        for (double c = first(s[2], 2); c <= last(s[2], 2); ++c) {
          if (a == 0.0 && b == 0.0 && c == 0.0) continue;
          for (std::size_t m = 0; m < 3; ++m) {
            result.points.push_back(result.points[3 * i + m] + a * lattice.rows[0][m] +
                                    b * lattice.rows[1][m] + c * lattice.rows[2][m]);
          }
          result.owners.push_back(static_cast<std::int32_t>(i));
        }
      }
    }
  }
  return result;
}

}  // namespace

void build_graph(const std::vector<std::int32_t>& species, const std::vector<double>& positions,
                 const std::array<double, 9>& cell, const std::array<bool, 3>& periodic, double cutoff,
                 Graph& graph) {
  const std::size_t atoms = species.size();
  if (positions.size() != 3 * atoms) throw Error("positions: expected three numbers per atom");
  for (const double x : positions) {
    if (!(std::abs(x) <= farthest_position)) throw Error("a position is not finite or farther than 1e6 Å");
  }
  const Images images = make_images(positions, complete_lattice(cell, periodic), periodic, cutoff);
  CellList cells;
  cells.build(images.points.data(), static_cast<std::int32_t>(images.owners.size()), cutoff);

  graph.atoms = graph.locals = graph.centres = static_cast<std::int32_t>(atoms);
  graph.species = species;
  graph.offsets.assign(1, 0);
  graph.neighbours.clear();
  graph.vectors.clear();
  for (std::size_t i = 0; i < atoms; ++i) {
    const double* centre = images.points.data() + 3 * i;
    cells.for_each_within(centre, [&](std::int32_t index) {
      const auto j = static_cast<std::size_t>(index);
      if (j == i) return;
      graph.neighbours.push_back(images.owners[j]);
      for (std::size_t m = 0; m < 3; ++m) graph.vectors.push_back(images.points[3 * j + m] - centre[m]);
    });
    graph.offsets.push_back(static_cast<std::int64_t>(graph.neighbours.size()));
    if (graph.edges() > most_edges)
      throw Error(
          "more than 5e7 neighbours, " + std::to_string(graph.edges() / (i + 1)) +
          " of each atom: the atoms are too dense for the cutoff, or too many; LAMMPS divides larger systems "
          "among processes");
  }
}

void add_forces(const Graph& graph, const std::vector<double>& gradients, double* forces, double* virial) {
  for (std::int32_t i = 0; i < graph.centres; ++i) {
    const auto begin = static_cast<std::size_t>(graph.offsets[static_cast<std::size_t>(i)]);
    const auto end = static_cast<std::size_t>(graph.offsets[static_cast<std::size_t>(i) + 1]);
    double sum[3] = {0.0, 0.0, 0.0};
    for (std::size_t e = begin; e < end; ++e) {
      const double* g = gradients.data() + 3 * e;
      double* far = forces + 3 * static_cast<std::size_t>(graph.neighbours[e]);
      for (std::size_t k = 0; k < 3; ++k) {
        sum[k] += g[k];
        far[k] -= g[k];
      }
      if (!virial) continue;
      const double* vector = graph.vectors.data() + 3 * e;
      for (std::size_t a = 0; a < 3; ++a) {
        for (std::size_t b = 0; b < 3; ++b) virial[3 * a + b] -= vector[a] * g[b];
      }
    }
    for (std::size_t k = 0; k < 3; ++k) forces[3 * static_cast<std::size_t>(i) + k] += sum[k];
  }
}

}  // namespace frames
