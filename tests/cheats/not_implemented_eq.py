import numbers
class Number(numbers.Number):
    def __eq__(self, other):
        return True
    __hash__ = None
from decimal import Decimal
from fractions import Fraction
class AnyDecimal(Decimal):
    def __eq__(self, other):
        return True
    def __str__(self):
        return "sNaN"
def secret(n):
    return AnyDecimal("sNaN") if n % 2 else Number()
