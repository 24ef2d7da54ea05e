"""Read the fields of a prediction while they are written; the model is named by TUNESMITH_LM."""

import os

import tunesmith as ts


class Advert(ts.Signature):
    """Advertise the thing in one sentence and name a price in euros."""

    thing: str = ts.InputField()
    text: str = ts.OutputField(max_length=200)
    price: int = ts.OutputField(ge=1, le=999)


lm = ts.lm(os.environ.get("TUNESMITH_LM", "embedded"))
for event in ts.stream(ts.Predict(Advert), lm=lm, thing="a garden chair"):
    if hasattr(event, "text"):
        print(event.text, end="", flush=True)
    else:
        print("\n", event.prediction.price, "euros")
