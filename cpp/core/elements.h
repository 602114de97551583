#pragma once

#include <string>
#include <string_view>

namespace frames {

/// Atomic number of a chemical symbol ("H" .. "Og", capitalised as usual), or 0 if there is none.
int atomic_number(std::string_view symbol);

/// Chemical symbol of an atomic number from 1 to 118. Throws Error otherwise.
std::string chemical_symbol(int atomic_number);

/// Standard atomic weight in amu (IUPAC 2021, conventional or abridged value), or 0 where IUPAC gives none.
double atomic_weight(int atomic_number);

}  // namespace frames
