#include "odr.hpp"

namespace odr::second {

Facts facts() {
    return odr::facts();
}

}  // namespace odr::second
