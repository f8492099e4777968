"""The Haut.AI API: companies' datasets of subjects, whose pictures are analysed as they come."""
