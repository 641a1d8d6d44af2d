"""Where orders should go: the addresses of a case, and what its customer gets wrong about them."""

from __future__ import annotations

from ss_gym.commerce.records import address_values
from ss_gym.families.cases import Case
from ss_gym.scenarios import Slip

Address = tuple[str, str, str]  # street, city, postal code

_LETTERS = "ABCDEFGHJKLMNPRSTUWXYZ"
# How people write an address down.
_FORMS = ("{0}, {1}, {2}", "{0}, {1} {2}", "{0}, {2} {1}")


def draw_addresses(case: Case) -> None:
    """Draws the new address, one from an earlier redirect, and a few areas that are not served."""
    stream = case.stream
    for name in ("new", "earlier"):
        case.addresses[name] = _draw_address(case)
    case.details["new_address"] = _written(case, case.addresses["new"])
    areas = [area for _, area in case.catalogue.cities if area != area_of(case.addresses["new"])]
    case.draft.unserved += stream.sample(areas, stream.below(3))


def area_of(address: Address) -> str:
    """The area of a postal code, its first part."""
    return address[2].partition(" ")[0]


def _draw_address(case: Case) -> Address:
    """An address that shares no street or postal code with another of the case."""
    stream, catalogue = case.stream, case.catalogue
    people = [(person.street, person.city, person.postal_code) for person in (case.customer, case.stranger)]
    taken = {value for address in (*people, *case.addresses.values()) for value in address_values(*address)}
    while True:
        city, area = stream.choice(catalogue.cities)
        street = f"{stream.between(1, 180)} {stream.choice(catalogue.streets)}"
        code = f"{area} {stream.below(10)}{stream.choice(_LETTERS)}{stream.choice(_LETTERS)}"
        values = address_values(street, city, code)
        if values[0] not in taken and values[2] not in taken:
            return street, city, code


def _written(case: Case, address: Address) -> str:
    return case.stream.choice(_FORMS).format(*address)


# --- what makes a case ------------------------------------------------------------------------------


def old_postal_code_forgotten(case: Case) -> None:
    """A customer who gives the new postal code first when asked for that of the account."""
    case.slips.append(Slip("postal_code", case.addresses["new"][2]))


def without_postal_code(case: Case) -> None:
    """A customer who leaves out the postal code of the new address."""
    street, city, _ = case.addresses["new"]
    case.slips.append(Slip("new_address", f"{street}, {city}"))


def wrong_house_number(case: Case) -> None:
    """A customer who gets the number of the house wrong at first."""
    stream, (street, city, code) = case.stream, case.addresses["new"]
    right, _, name = street.partition(" ")
    home = case.customer.street.partition(" ")[0]
    wrong = next(
        number for number in map(str, stream.sample(range(1, 181), 3)) if number not in (right, home)
    )  # of three different numbers one is neither
    case.addresses["mistaken"] = (f"{wrong} {name}", city, code)
    case.slips.append(Slip("new_address", _written(case, case.addresses["mistaken"]), wrong, right))


def has_second_address(case: Case) -> None:
    """A customer who would have the order at another place, too, in an area that is served."""
    first = case.addresses["new"]
    while True:
        second = _draw_address(case)
        if area_of(second) != area_of(first) and area_of(second) not in case.draft.unserved:
            break
    case.addresses["second"] = second
    case.details["second"] = _written(case, second)


def to_a_box(case: Case) -> None:
    """A customer who wants the order at a box of the post."""
    _, city, code = case.addresses["new"]
    number = case.stream.between(2, 999)
    case.addresses["new"] = (f"{case.stream.choice(('PO Box', 'Parcel Locker'))} {number}", city, code)
    case.details["new_address"] = _written(case, case.addresses["new"])


def to_a_box_or_a_street(case: Case) -> None:
    """The same, for a customer who has another address as well."""
    has_second_address(case)
    to_a_box(case)


# --- what its twin has otherwise --------------------------------------------------------------------


def area_closed(case: Case) -> None:
    """Nothing is delivered to the area of the new address."""
    case.draft.unserved.append(area_of(case.addresses["new"]))
