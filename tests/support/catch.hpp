#pragma once

// Catch2 3 split its header; 2.13 has the single one. Tests include this and name neither.
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
