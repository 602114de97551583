// pair_style frames for LAMMPS. Distributed under the GNU General Public License, version 2 (see LICENSE in
// this folder), since it builds on headers of LAMMPS (https://www.lammps.org).

#include "lammps/structure_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "atom.h"
#include "comm.h"
#include "core/elements.h"
#include "domain.h"
#include "update.h"

using namespace LAMMPS_NS;

namespace {

constexpr std::size_t width = 6;  // id, type, x, y, z, value

std::size_t at(int index) {
  return static_cast<std::size_t>(index);
}

}  // namespace

std::string StructureWriter::append(const std::string& path, const std::vector<int>& element_of_type,
                                    const std::vector<double>& values, const std::string& column) {
  const std::vector<double> rows = gather(values);
  int failure = 0;
  if (comm->me == 0) {
    errno = 0;
    FILE* file = std::fopen(path.c_str(), "a");
    bool good = file != nullptr;
    if (file) {
      good = std::fputs(header(rows.size() / width, column).c_str(), file) >= 0;
      std::vector<std::size_t> order(rows.size() / width);
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::sort(order.begin(), order.end(),
                [&](std::size_t a, std::size_t b) { return rows[width * a] < rows[width * b]; });
      for (const std::size_t k : order) {
        const double* row = rows.data() + width * k;
        const int element = element_of_type[static_cast<std::size_t>(row[1])];
        const std::string symbol = element > 0 ? frames::chemical_symbol(element) : "X";
        good &=
            std::fprintf(file, "%s %.10f %.10f %.10f %.0f %.6g\n", symbol.c_str(), row[2] - domain->boxlo[0],
                         row[3] - domain->boxlo[1], row[4] - domain->boxlo[2], row[0], row[5]) > 0;
      }
      good &= std::fclose(file) == 0;
    }
    if (!good) failure = errno ? errno : EIO;
  }
  MPI_Bcast(&failure, 1, MPI_INT, 0, world);
  return failure ? "cannot write " + path + ": " + std::strerror(failure) : "";
}

std::vector<double> StructureWriter::gather(const std::vector<double>& values) {
  std::vector<double> mine;
  for (int i = 0; i < atom->nlocal; ++i) {
    double x[3] = {atom->x[i][0], atom->x[i][1], atom->x[i][2]};
    imageint image = atom->image[i];
    domain->remap(x, image);  // between two rebuilds of the lists atoms may lie outside
    mine.insert(mine.end(), {static_cast<double>(atom->tag[i]), static_cast<double>(atom->type[i]), x[0],
                             x[1], x[2], values[at(i)]});
  }
  int count = static_cast<int>(mine.size());
  std::vector<int> counts(at(comm->nprocs)), starts(at(comm->nprocs));
  MPI_Gather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, world);
  std::partial_sum(counts.begin(), counts.end() - 1, starts.begin() + 1);
  std::vector<double> all(comm->me == 0 ? at(starts.back() + counts.back()) : 0);
  MPI_Gatherv(mine.data(), count, MPI_DOUBLE, all.data(), counts.data(), starts.data(), MPI_DOUBLE, 0, world);
  return all;
}

std::string StructureWriter::header(std::size_t atoms, const std::string& column) const {
  // Voigt order: xx, yy, zz, yz, xz, xy
  const double* h = domain->h;
  const auto flag = [&](int periodic) { return periodic ? 'T' : 'F'; };
  char text[512];
  std::snprintf(text, sizeof text,
                "%zu\nLattice=\"%.10f 0 0 %.10f %.10f 0 %.10f %.10f %.10f\" "
                "Properties=species:S:1:pos:R:3:id:I:1:%s:R:1 "
                "pbc=\"%c %c %c\" step=%lld\n",
                atoms, h[0], h[5], h[1], h[4], h[3], h[2], column.c_str(), flag(domain->periodicity[0]),
                flag(domain->periodicity[1]), flag(domain->periodicity[2]),
                static_cast<long long>(update->ntimestep));
  return text;
}
